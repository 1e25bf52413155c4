"""On which line a key stands."""

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from admission.config.toml_lines import find_key_lines, find_line
from admission.domain.validation import Location

TEXT = '''# a comment
top = 1

[server]
host = "x" # [not.a.table]
text = """
[nor.this]
port = 5
"""
dotted.key = 2
[[auth.tokens]]
name = "a"
[[auth.tokens]]
name = "b"
campaigns = [
    "one", # first
    "two",
]
[zones.East.campaigns."*"]
breaker = { window_ms = 5 }
[zones.East.pools]
"trunk:a" = { limit = 3 }
[[zones.East.list]]
[[zones.East.list.inner]]
x = 1
[[zones.East.list]]
[[zones.East.list.inner]]
x = 2
[[zones.East.list.inner]]
x = 3
'''
LINES: dict[Location, int] = {
    ("top",): 2,
    ("server",): 4,
    ("server", "host"): 5,
    ("server", "text"): 6,
    ("server", "dotted", "key"): 10,
    ("auth", "tokens", 0, "name"): 12,
    ("auth", "tokens", 1): 13,
    ("auth", "tokens", 1, "name"): 14,
    ("auth", "tokens", 1, "campaigns", 1): 15,
    ("zones", "East", "campaigns", "*"): 19,
    ("zones", "East", "campaigns", "*", "breaker", "window_ms"): 20,
    ("zones", "East", "pools", "trunk:a", "limit"): 22,
    ("zones", "East", "list", 0, "inner", 0, "x"): 25,
    ("zones", "East", "list", 1, "inner", 0, "x"): 28,
    ("zones", "East", "list", 1, "inner", 1, "x"): 30,
}


def test_every_key_has_its_line() -> None:
    found = find_key_lines(TEXT)

    assert {place: found.get(place) for place in LINES} == LINES
    assert not [place for place in found if "nor" in place or "not" in place]


def test_windows_line_ends_count_the_same() -> None:
    assert find_key_lines(TEXT.replace("\n", "\r\n")) == find_key_lines(TEXT)


def test_a_missing_key_has_the_line_of_its_table() -> None:
    assert find_line(find_key_lines(TEXT), ("server", "port")) == 4
    assert find_line(find_key_lines(TEXT), ("redis", "url")) is None


def test_a_value_without_end_is_given_up() -> None:
    text = "a = [\n" + "1,\n" * 1000 + "]\nb = 2\n"

    assert find_key_lines(text)[("b",)] == 1003


def places(value: Any) -> set[Location]:
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    return {(key, *rest) for key, part in inside for rest in [(), *places(part)]}


LINE = st.sampled_from(
    ["[a]", "[a.b]", "[[c]]", "[[c.d]]", "x = 1", "y = { z = [1] }", "# no", "", "v = [", "1,", "]"]
)


@settings(max_examples=300)
@given(st.lists(LINE, max_size=12))
def test_what_parses_has_a_line_for_each_key_and_for_nothing_else(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        find_key_lines(text)
        return
    found = find_key_lines(text)

    assert set(found) == places(document)
    assert all(lines[number - 1] for number in found.values())

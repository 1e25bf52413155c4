"""Characters that names must not have, and how they are displayed."""

import sys
import unicodedata

import pytest
from pydantic import TypeAdapter, ValidationError

from admission.domain.types import Text
from admission.domain.visible_text import make_all_visible, make_visible

CATEGORIES = {"Cc", "Cf", "Zl", "Zp"}
# Marks of single scripts that stand before the digits of a number, and hieroglyphs' joiners.
HARMLESS = {0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440),
            *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)}  # fmt: skip


def test_every_control_character_is_refused_and_escaped() -> None:
    adapter = TypeAdapter(Text)
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if unicodedata.category(character) in CATEGORIES and point not in HARMLESS:
            assert make_visible(character).startswith("\\"), hex(point)
            with pytest.raises(ValidationError):
                adapter.validate_python(f"a{character}b")


@pytest.mark.parametrize("text", ["dialer-1", "Zoë / 東京 #7", "مركز", "", "a" * 128])
def test_a_readable_text_stays(text: str) -> None:
    assert TypeAdapter(Text).validate_python(text) == make_visible(text) == text


def test_every_text_of_a_value_is_escaped() -> None:
    value = {"a\x1b": ["\r", {"b": "\u202e"}, 1, None]}
    assert make_all_visible(value) == {r"a\x1b": [r"\x0d", {"b": r"\u202e"}, 1, None]}


def test_line_ends_may_stay() -> None:
    assert make_visible("a\n\x1b", keep="\n") == "a\n\\x1b"

"""Finds the line of a key in a TOML text, for error messages.

`tomllib` reports no lines for what it parsed, so this module splits the text into statements: the
shortest runs of lines that parse by themselves. It runs only after an error, so it is simple rather
than fast. Why no other parser: docs/decisions/toml-lines.md.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from admission.domain.validation import Location

# A longer multi-line value has no line of its own in errors; its table has.
STATEMENT_LINES_MAX: Final = 200
# tomllib's message where the text ends inside a value.
_UNFINISHED: Final = "at end of document"
_HEADER: Final = re.compile(r"\s*\[")
_SKIP: Final = re.compile(r"\s*(#.*)?$")


def find_key_lines(text: str) -> dict[Location, int]:
    """Find the first line (from 1) of every table and key of a valid TOML text."""
    found: dict[Location, int] = {}
    table: Location = ()
    tables_seen: dict[Location, int] = {}
    for number, statement, is_header in _split_statements(text.replace("\r\n", "\n").split("\n")):
        if is_header:
            table = _open_table(statement, tables_seen)
        places = [()] if is_header else _list_places(statement)
        for place in places:
            for depth in range(1, len(table + place) + 1):
                found.setdefault((table + place)[:depth], number)
    return found


def find_line(lines: dict[Location, int], place: Location) -> int | None:
    """Return the line of a place, else that of the innermost table around it that has one."""
    for depth in range(len(place), 0, -1):
        if place[:depth] in lines:
            return lines[place[:depth]]
    return None


def _split_statements(lines: list[str]) -> Iterator[tuple[int, dict[str, Any], bool]]:
    at = 0
    while at < len(lines):
        if _SKIP.match(lines[at]):
            at += 1
            continue
        statement, length = _parse_at(lines, at)
        if statement is not None:
            yield at + 1, statement, bool(_HEADER.match(lines[at]))
        at += length


def _parse_at(lines: list[str], at: int) -> tuple[dict[str, Any] | None, int]:
    for length in range(1, min(STATEMENT_LINES_MAX, len(lines) - at) + 1):
        try:
            return tomllib.loads("\n".join(lines[at : at + length])), length
        except tomllib.TOMLDecodeError as error:
            if _UNFINISHED not in str(error):
                break
    return None, 1


def _open_table(header: dict[str, Any], seen: dict[Location, int]) -> Location:
    """The place of the table that a header opens; `[[x]]` opens the next entry of a list."""
    place: Location = ()
    while header:
        ((key, inside),) = header.items()
        place += (key,)
        if isinstance(inside, list):
            seen[place] = seen.get(place, -1) + 1
        if place in seen:
            place += (seen[place],)
        header = inside[0] if isinstance(inside, list) else inside
    return place


def _list_places(value: Any) -> list[Location]:
    """Every key and list position inside a value, outer ones first."""
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    return [
        place
        for key, part in inside
        for place in [(key,), *((key, *deeper) for deeper in _list_places(part))]
    ]

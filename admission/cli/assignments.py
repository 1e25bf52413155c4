"""Assignments of a command line, such as `campaigns.collections.limit=50`, as a merge patch.

A path is a sequence of keys with dots between them; a key that contains a dot or = is quoted. A
value is written as in TOML or JSON; a plain word needs no quotes; an empty value, or null, removes
the setting (RFC 7396).
"""

import json
import math
import re
import tomllib
from collections.abc import Iterable
from typing import Any, Final

from admission.errors import ConfigError

_KEY: Final = r'"[^"]+"|\'[^\']+\'|[^.="\'\s]+'
_PATH: Final = re.compile(rf"\s*((?:{_KEY})(?:\.(?:{_KEY}))*)\s*=")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:%-]*")


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Return the merge patch of assignments.

    Raises:
        ConfigError: an assignment is malformed, or two assignments conflict.
    """
    patch: dict[str, Any] = {}
    for text in assignments:
        keys, value = _parse_assignment(text)
        _insert(patch, keys, value, text)
    return patch


def _parse_assignment(text: str) -> tuple[list[str], Any]:
    found = _PATH.match(text)
    if found is None:
        raise ConfigError(f"{text}: write path=value, such as campaigns.collections.limit=50")
    keys = [key.strip("\"'") for key in re.findall(_KEY, found[1])]
    return keys, _parse_value(text, text[found.end() :].strip())


def _parse_value(assignment: str, text: str) -> Any:
    if text in ("", "null"):
        return None
    try:
        [value] = tomllib.loads(f"value = {text}").values()  # a second line would make two keys
    except ValueError:
        value = _parse_json_or_word(assignment, text)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise ConfigError(f"{assignment}: no policy has such a value") from None


def _parse_json_or_word(assignment: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: math.nan)
    except ValueError:
        if _WORD.fullmatch(text):
            return text
        raise ConfigError(f"{assignment}: the value is neither TOML nor JSON") from None


def _insert(patch: dict[str, Any], keys: list[str], value: Any, text: str) -> None:
    *outer, last = keys
    for key in outer:
        patch = patch.setdefault(key, {})
        if not isinstance(patch, dict):
            raise ConfigError(f"{text}: conflicts with an earlier assignment")
    if last in patch:
        raise ConfigError(f"{text}: conflicts with an earlier assignment")
    patch[last] = value

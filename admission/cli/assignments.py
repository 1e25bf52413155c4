"""`campaigns.collections.limit=50` on a command line, as a merge patch.

A path is keys with dots between them; a key with a dot or = in it stands in quotes. A value is
written as in TOML or JSON; a plain word may go without quotes; nothing, or null, removes.
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


def merge_patch(assignments: Iterable[str]) -> dict[str, Any]:
    """The patch that makes these assignments.

    Raises:
        ConfigError: one of them is malformed, or two contradict each other.
    """
    patch: dict[str, Any] = {}
    for text in assignments:
        keys, value = _assignment(text)
        _put(patch, keys, value, text)
    return patch


def _assignment(text: str) -> tuple[list[str], Any]:
    found = _PATH.match(text)
    if found is None:
        raise ConfigError(f"{text}: write path=value, such as campaigns.collections.limit=50")
    keys = [key.strip("\"'") for key in re.findall(_KEY, found[1])]
    return keys, _value(text, text[found.end() :].strip())


def _value(assignment: str, text: str) -> Any:
    if text in ("", "null"):
        return None
    try:
        [value] = tomllib.loads(f"value = {text}").values()  # no second line says more
    except ValueError:
        value = _json_or_word(assignment, text)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise ConfigError(f"{assignment}: no policy has such a value") from None


def _json_or_word(assignment: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: math.nan)
    except ValueError:
        if _WORD.fullmatch(text):
            return text
        raise ConfigError(f"{assignment}: the value is neither TOML nor JSON") from None


def _put(patch: dict[str, Any], keys: list[str], value: Any, text: str) -> None:
    *outer, last = keys
    for key in outer:
        patch = patch.setdefault(key, {})
        if not isinstance(patch, dict):
            raise ConfigError(f"{text}: contradicts an assignment before it")
    if last in patch:
        raise ConfigError(f"{text}: contradicts an assignment before it")
    patch[last] = value

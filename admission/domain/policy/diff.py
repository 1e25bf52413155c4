"""How two policies differ, as an operator reads it. Plain values in, lines out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from admission.domain.validation import Location, format_location

ABSENT: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One setting that differs; `ABSENT` where it is not said."""

    path: str
    live: Any
    file: Any

    def line(self) -> str:
        """`+` only the file says it, `-` only the live policy does, `~` they differ."""
        if self.live is ABSENT:
            return f"+ {self.path} = {_format_value(self.file)}"
        if self.file is ABSENT:
            return f"- {self.path} = {_format_value(self.live)}"
        return f"~ {self.path}: {_format_value(self.live)} -> {_format_value(self.file)}"

    def fields(self) -> dict[str, Any]:
        """For programs; what is not said is left out."""
        both = {"live": self.live, "file": self.file}
        return {"path": self.path} | {k: v for k, v in both.items() if v is not ABSENT}


def differences(live: Mapping[str, Any], file: Mapping[str, Any]) -> list[Difference]:
    """Every setting that differs between the sources of two policies, by its path."""
    ours, theirs = dict(_list_settings((), live)), dict(_list_settings((), file))
    found = [
        Difference(
            path=format_location(place),
            live=ours.get(place, ABSENT),
            file=theirs.get(place, ABSENT),
        )
        for place in sorted({*ours, *theirs})
        if ours.get(place, ABSENT) != theirs.get(place, ABSENT)
    ]
    before, after = list(live.get("mpps", {})), list(file.get("mpps", {}))
    if before != after and set(before) == set(after):
        found.append(Difference(path="order of mpps", live=before, file=after))
    return found


def _list_settings(place: Location, value: Any) -> Iterator[tuple[Location, Any]]:
    """The leaves of a policy's source; an empty table counts, as it may name a campaign."""
    if isinstance(value, Mapping) and (value or not place):
        for key, inside in value.items():
            yield from _list_settings((*place, key), inside)
    else:
        yield place, value


def _format_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Errors of settings: which setting is wrong, why, and what to write instead."""

from dataclasses import asdict, dataclass
from typing import Any

from admission.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingError:
    """One thing that is wrong.

    Args:
        place: dotted key, or the name of an environment variable, or "" for the whole file.
        message: one sentence.
        line: of the file, from 1, where known.
    """

    place: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        return ": ".join(part for part in (line, self.place, self.message) if part)


class InvalidSettings(ConfigError):
    """The configuration cannot be used; `errors` lists everything that is wrong with it.

    Args:
        source: the file, as the operator knows it.
        errors: at least one, by line.
    """

    def __init__(self, source: str, errors: tuple[SettingError, ...]) -> None:
        super().__init__(f"{source}: " + "; ".join(str(error) for error in errors))
        self.source = source
        self.errors = errors


def describe_errors(error: ConfigError) -> str:
    """What `admission check FILE` prints for a configuration that cannot be used."""
    if not isinstance(error, InvalidSettings):
        return error.detail
    count = len(error.errors)
    head = f"{error.source}: {count} error{'s' if count > 1 else ''}"
    return "\n".join([head, *(f"  {one}" for one in error.errors)])


def errors_to_json(error: ConfigError) -> list[dict[str, Any]]:
    """The same for programs."""
    if not isinstance(error, InvalidSettings):
        return [{"place": "", "message": error.detail, "line": None}]
    return [asdict(one) for one in error.errors]

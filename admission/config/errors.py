"""Errors of settings: the setting, the reason, and the remedy."""

from dataclasses import asdict, dataclass
from typing import Any

from admission.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingError:
    """One error in the configuration.

    Args:
        place: dotted key, or the name of an environment variable; empty: the whole file.
        message: one sentence.
        line: of the file, from 1; None: unknown.

    Example:
        str(SettingError(place="server.port", message="must be at least 0", line=5))
        # "line 5: server.port: must be at least 0"
    """

    place: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        return ": ".join(part for part in (line, self.place, self.message) if part)


class InvalidSettings(ConfigError):
    """The configuration cannot be used; `errors` lists every error in it.

    Args:
        source: the path of the file, as the operator wrote it.
        errors: at least one, sorted by line.

    Example:
        try:
            settings = load_settings(path, os.environ)
        except InvalidSettings as error:
            print(describe_errors(error))
    """

    def __init__(self, source: str, errors: tuple[SettingError, ...]) -> None:
        super().__init__(f"{source}: " + "; ".join(str(error) for error in errors))
        self.source = source
        self.errors = errors


def describe_errors(error: ConfigError) -> str:
    """Describe the errors as `admission check FILE` prints them."""
    if not isinstance(error, InvalidSettings):
        return error.detail
    count = len(error.errors)
    head = f"{error.source}: {count} error{'s' if count > 1 else ''}"
    return "\n".join([head, *(f"  {one}" for one in error.errors)])


def errors_to_json(error: ConfigError) -> list[dict[str, Any]]:
    """Convert the errors to the JSON of `admission check FILE --json`."""
    if not isinstance(error, InvalidSettings):
        return [{"place": "", "message": error.detail, "line": None}]
    return [asdict(one) for one in error.errors]

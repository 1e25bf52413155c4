"""Reads the configuration: one TOML file and the environment, checked whole.

    load_settings(path, environ) -> Settings      or InvalidSettings with every error
    load_policies(path)          -> the zones alone, without secrets
    load_demo_settings(...)           -> Settings      the built-in demo, a file as any other

An error says where it stands: the dotted key, the line of the file, or the variable.
"""

import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from admission.config import redis_url
from admission.config.environment import Overrides, read_overrides, variable_name
from admission.config.errors import InvalidSettings, SettingError
from admission.config.settings import Settings
from admission.config.tables import TableReader
from admission.config.toml_lines import find_key_lines, find_line
from admission.domain.policy.zone import ZonePolicy
from admission.domain.validation import Location, Problem, format_location

FILE_BYTES_MAX: Final = 8 * 1024 * 1024

DEMO_FILE: Final = "demo.toml"

# The source of the demo whose url is filled in once the simulated platform listens.
DEMO_SOURCE: Final = "simulator"

_Read = TypeVar("_Read")


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings in a TOML file, or the demo's without one.

    Args:
        path: the file; None: the built-in demo.
        environ: overrides, and the secrets that the file names.

    Raises:
        InvalidSettings: with every error and its place.
    """
    if path is None:
        return load_demo_settings(environ=environ)
    return parse_settings(_text(path), environ, source=str(path))


def read_demo_text() -> str:
    """The demo's configuration file, to be copied and changed."""
    return resources.files("admission.config").joinpath(DEMO_FILE).read_text("utf-8")


def load_demo_settings(
    platform_url: str | None = None, *, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings of the built-in demo.

    Args:
        platform_url: where the simulated platform answers; the file has a placeholder.
        environ: overrides.

    Raises:
        InvalidSettings: an override is wrong.
    """
    settings = parse_settings(read_demo_text(), environ or {}, source=DEMO_FILE)
    return settings if platform_url is None else replace_platform_url(settings, platform_url)


def replace_platform_url(settings: Settings, url: str) -> Settings:
    """The demo's settings once its simulated platform listens at `url`."""
    simulator = settings.sources[DEMO_SOURCE].model_copy(update={"url": url})
    return settings.model_copy(update={"sources": {**settings.sources, DEMO_SOURCE: simulator}})


def parse_settings(text: str, environ: Mapping[str, str], *, source: str) -> Settings:
    """The settings in a TOML text.

    Args:
        text: the text.
        environ: overrides, and the secrets that the text names.
        source: what to call the text in errors.

    Raises:
        InvalidSettings: with every error and its place.
    """
    return _whole(text, lambda document: _read(document, environ), source)


def load_policies(path: Path) -> dict[str, ZonePolicy]:
    """The zones' policies in a TOML file, whose secrets need not be at hand.

    Raises:
        InvalidSettings: with every error of the zones and its place.
    """

    def read(document: dict[str, Any]) -> tuple[dict[str, ZonePolicy] | None, list[Problem]]:
        reader = TableReader(document, {})
        return reader.policies(), reader.problems

    return _whole(_text(path), read, str(path))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise _refused(str(path), f"is larger than {FILE_BYTES_MAX} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise _refused(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _refused(str(path), f"is not UTF-8 at byte {error.start}") from None


def _whole(
    text: str, read: Callable[[dict[str, Any]], tuple[_Read | None, list[Problem]]], source: str
) -> _Read:
    """What is read from a text, or all that is wrong with it."""
    try:
        found, problems = read(tomllib.loads(text))
        errors = _located(text, problems)
    except tomllib.TOMLDecodeError as error:
        raise _refused(source, f"is not TOML: {error}") from None
    except RecursionError:
        raise _refused(source, "is nested too deeply") from None
    if found is None:
        raise InvalidSettings(source, errors)
    return found


def _refused(source: str, message: str) -> InvalidSettings:
    return InvalidSettings(source, (SettingError(place="", message=message),))


def _read(
    document: dict[str, Any], environ: Mapping[str, str]
) -> tuple[Settings | None, list[Problem]]:
    said, problems = read_overrides(environ)
    problems += _secrets_in_urls(document)
    reader = TableReader(_merged(document, said), environ)
    settings = reader.settings()
    problems += [_blamed(problem, said) for problem in reader.problems]
    return (None if problems else settings), problems


def _merged(document: dict[str, Any], said: Overrides) -> dict[str, Any]:
    merged = dict(document)
    for table, values in said.items():
        below = document.get(table, {})
        # What is no table is left as it is, to be refused.
        merged[table] = {**below, **values} if isinstance(below, dict) else below
    return merged


def _blamed(problem: Problem, said: Overrides) -> Problem:
    """A wrong value that came from the environment is a wrong variable."""
    place = problem.place
    if len(place) > 1 and place[1] in said.get(str(place[0]), {}):
        return Problem(place=(variable_name(place[:2]),), message=problem.message)
    return problem


def _secrets_in_urls(document: dict[str, Any]) -> list[Problem]:
    """The environment may give a URL with a password; the file may not."""
    redis = document.get("redis")
    url = redis.get("url") if isinstance(redis, dict) else None
    place: Location = ("redis", "url")
    if not isinstance(url, str) or "@" not in url or not _has_password(url):
        return []
    message = 'must not contain a password: write password = { env = "NAME" }'
    return [Problem(place=place, message=message)]


def _has_password(url: str) -> bool:
    try:
        return redis_url.has_password(url)
    except ValueError:
        return False


def _located(text: str, problems: list[Problem]) -> tuple[SettingError, ...]:
    """The problems with their lines, in the order in which a reader meets them."""
    lines = find_key_lines(text) if problems else {}
    found = [
        SettingError(
            place=format_location(problem.place),
            message=problem.message,
            line=find_line(lines, problem.place),
        )
        for problem in problems
    ]
    return tuple(sorted(found, key=lambda error: error.line or 0))

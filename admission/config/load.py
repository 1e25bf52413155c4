"""Loads the configuration: one TOML file and the environment, all of it checked.

    load_settings(path, environ) -> Settings   raises InvalidSettings with every error
    load_policies(path)          -> the policies of the zones; needs no secrets
    load_demo_settings(...)      -> Settings   of the built-in demo file

An error has its place: the dotted key and the line of the file, or the environment variable.
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
from admission.domain.policy import ZonePolicy
from admission.domain.validation import Location, Problem, format_location

# Room for 1000 zones with hundreds of campaigns each.
FILE_BYTES_MAX: Final = 8 * 1024 * 1024
DEMO_FILE: Final = "demo.toml"
# The demo's source; its url is known only once the simulated platform listens.
DEMO_SOURCE: Final = "simulator"

_Read = TypeVar("_Read")


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Load the settings of a TOML file, or those of the demo without one.

    Args:
        path: the file; None: the built-in demo.
        environ: overrides, and the secrets to which the file refers.

    Raises:
        InvalidSettings: with every error and its place.
    """
    if path is None:
        return load_demo_settings(environ=environ)
    return parse_settings(_read_text(path), environ, source=str(path))


def read_demo_text() -> str:
    """Read the demo's configuration file, a template for a first file."""
    return resources.files("admission.config").joinpath(DEMO_FILE).read_text("utf-8")


def load_demo_settings(
    platform_url: str | None = None, *, environ: Mapping[str, str] | None = None
) -> Settings:
    """Load the settings of the built-in demo.

    Args:
        platform_url: address of the simulated platform; the file has a placeholder.
        environ: overrides.

    Raises:
        InvalidSettings: an override is wrong.
    """
    settings = parse_settings(read_demo_text(), environ or {}, source=DEMO_FILE)
    return settings if platform_url is None else replace_platform_url(settings, platform_url)


def replace_platform_url(settings: Settings, url: str) -> Settings:
    """Return the demo's settings with the address of its simulated platform."""
    simulator = settings.sources[DEMO_SOURCE].model_copy(update={"url": url})
    return settings.model_copy(update={"sources": {**settings.sources, DEMO_SOURCE: simulator}})


def parse_settings(text: str, environ: Mapping[str, str], *, source: str) -> Settings:
    """Parse the settings of a TOML text.

    Args:
        text: the text.
        environ: overrides, and the secrets to which the text refers.
        source: name of the text in errors.

    Raises:
        InvalidSettings: with every error and its place.
    """
    return _parse_document(text, lambda document: _read_settings(document, environ), source)


def load_policies(path: Path) -> dict[str, ZonePolicy]:
    """Load the policies of a TOML file whose secrets need not be available.

    Raises:
        InvalidSettings: with every error in the zones and its place.
    """

    def read(document: dict[str, Any]) -> tuple[dict[str, ZonePolicy] | None, list[Problem]]:
        reader = TableReader(document, {})
        return reader.read_policies(), reader.problems

    return _parse_document(_read_text(path), read, str(path))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise _invalid_file(str(path), f"is larger than {FILE_BYTES_MAX} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise _invalid_file(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _invalid_file(str(path), f"is not UTF-8 at byte {error.start}") from None


def _parse_document(
    text: str, read: Callable[[dict[str, Any]], tuple[_Read | None, list[Problem]]], source: str
) -> _Read:
    """Decode a text and pass it to a reader; raise the problems that the reader finds."""
    try:
        found, problems = read(tomllib.loads(text))
        errors = _locate(text, problems)
    except tomllib.TOMLDecodeError as error:
        raise _invalid_file(source, f"is not TOML: {error}") from None
    except RecursionError:
        raise _invalid_file(source, "is nested too deeply") from None
    if found is None:
        raise InvalidSettings(source, errors)
    return found


def _invalid_file(source: str, message: str) -> InvalidSettings:
    return InvalidSettings(source, (SettingError(place="", message=message),))


def _read_settings(
    document: dict[str, Any], environ: Mapping[str, str]
) -> tuple[Settings | None, list[Problem]]:
    overridden, problems = read_overrides(environ)
    problems += _find_secrets_in_urls(document)
    reader = TableReader(_merge(document, overridden), environ)
    settings = reader.read_settings()
    problems += [_blame_variable(problem, overridden) for problem in reader.problems]
    return (None if problems else settings), problems


def _merge(document: dict[str, Any], overridden: Overrides) -> dict[str, Any]:
    merged = dict(document)
    for table, values in overridden.items():
        below = document.get(table, {})
        # Anything but a table is left unchanged, to be refused.
        merged[table] = {**below, **values} if isinstance(below, dict) else below
    return merged


def _blame_variable(problem: Problem, overridden: Overrides) -> Problem:
    """Report the variable, not the key, for a wrong value that the environment gave."""
    place = problem.place
    if len(place) > 1 and place[1] in overridden.get(str(place[0]), {}):
        return Problem(place=(variable_name(place[:2]),), message=problem.message)
    return problem


def _find_secrets_in_urls(document: dict[str, Any]) -> list[Problem]:
    """A URL of the environment may contain a password; a URL of the file may not."""
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


def _locate(text: str, problems: list[Problem]) -> tuple[SettingError, ...]:
    """Add the lines to the problems and sort by them."""
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

"""Overrides of the service tables by the environment: `ADMISSION__SERVER__PORT=9090`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from admission.config.tables import SERVICE_TABLES
from admission.domain.validation import Location, Problem, suggest_name

PREFIX: Final = "ADMISSION__"
_SECRETS: Final = (("redis", "password"),)
Overrides = dict[str, dict[str, Any]]


class _ServiceTables(BaseSettings):
    """The tables that the environment may override; values are still text."""

    server: dict[str, str] = Field(default_factory=dict)
    redis: dict[str, str] = Field(default_factory=dict)
    log: dict[str, str] = Field(default_factory=dict)
    limits: dict[str, str] = Field(default_factory=dict)


def variable_name(place: Location) -> str:
    """Return the environment variable that overrides a setting."""
    return PREFIX + "__".join(str(step) for step in place).upper()


def read_overrides(environ: Mapping[str, str]) -> tuple[Overrides, list[Problem]]:
    """Read the overrides, by table and key, and a problem for each variable without a meaning."""
    ours = {name.upper(): text for name, text in environ.items() if _is_ours(name)}
    problems = [problem for name in ours for problem in _find_unknown(name)]
    known = {name: text for name, text in ours.items() if not list(_find_unknown(name))}
    return {
        table: {key: _parse(table, key, text) for key, text in texts.items()}
        for table, texts in _group_by_table(known).items()
    }, problems


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)


def _group_by_table(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    source = EnvSettingsSource(_ServiceTables, env_prefix=PREFIX, env_nested_delimiter="__")
    # The caller's environment, not the process's.
    source.env_vars = {name.lower(): text for name, text in environ.items()}
    return source()


def _find_unknown(name: str) -> Iterator[Problem]:
    table, _, key = name.removeprefix(PREFIX).lower().partition("__")
    if table not in SERVICE_TABLES:
        message = f"only {', '.join(SERVICE_TABLES)} can be overridden by the environment"
        yield Problem(place=(name,), message=message)
        return
    model = SERVICE_TABLES[table]
    keys = list(model.model_fields)
    if key in model.renamed_keys:
        new_name = variable_name((table, model.renamed_keys[key]))
        yield Problem(place=(name,), message=f"is called {new_name} now")
    elif key not in keys:
        words = [variable_name((table, word)) for word in keys]
        message = f"overrides no key of [{table}]{suggest_name(name, words)}"
        yield Problem(place=(name,), message=message)


def _parse(table: str, key: str, text: str) -> Any:
    """Parse the text as the setting's type; the table refuses text of another type."""
    if (table, key) in _SECRETS:
        return SecretStr(text)
    annotation: Any = SERVICE_TABLES[table].model_fields[key].annotation
    try:
        return TypeAdapter(annotation).validate_strings(text, strict=False)
    except ValidationError:
        return text

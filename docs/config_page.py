"""The configuration reference, from the settings models and the docstrings of their fields."""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from admission.config.environment import variable_name
from admission.config.settings import TokenSettings
from admission.config.sources.http_json import HEADER_NAME, CountSettings
from admission.config.sources.huawei import AgentSettings, SignInSettings
from admission.config.sources.registry import SOURCE_TYPES
from admission.config.tables import SERVICE_TABLES
from admission.domain.policy.parts import (
    ApplicationPolicy,
    BreakerPolicy,
    CampaignPolicy,
    MppPolicy,
    PoolPolicy,
)
from admission.domain.policy.zone import ZonePolicy
from admission.domain.types import NAME, POOL
from admission.domain.validation import CAMPAIGN_KEY, POOL_PATTERN, PRIORITY, SHA256

NULL = "null"
WORDS = {
    NAME: "name",
    POOL: "pool",
    POOL_PATTERN: "pool or kind",
    CAMPAIGN_KEY: 'name or `"*"`',
    PRIORITY: "class 0 to 9",
    HEADER_NAME: "header",
    SHA256: "64 hexadecimal digits",
}
TOP = """\
# Configuration

One TOML file, validated as a whole at start. `admission check FILE` validates it without starting,
and reports every error with its line. The file of the demo is a good starting point:
[admission/config/demo.toml](../admission/config/demo.toml).

Durations are whole milliseconds (`_ms`). A *name* has letters, digits, `.`, `_`, `-`, at most 64, a
letter or digit first. A *pool* is `kind:name`. A *secret* is never in the file: `{ env = "NAME" }`
or `{ file = "path" }`. **required**: there is no default. *absent*: the key may be left out, and
that has a meaning of its own.

`[server]`, `[redis]`, `[log]` and `[limits]` can be overridden by the environment:
`ADMISSION__SERVER__PORT=9090`.

The tables of a zone are its policy, which is stored in Redis with a version. A start or SIGHUP
applies a file only if its content was never applied to the zone before, so that a replica that
restarts with an old file does not revert a later change. `admission apply FILE` shows the
difference and always applies it. SIGHUP also reloads tokens and certificates.

This page is generated (`make docs`): types, bounds, defaults and texts come from the settings
models. """


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the file.

    Args:
        title: as the file writes it.
        model: the settings model. Its docstring introduces the table, the docstrings of its fields
            describe the keys.
    """

    title: str
    model: type[BaseModel]


def tables() -> Iterator[Table]:
    """All tables, in the order of the page."""
    for name, model in SERVICE_TABLES.items():
        yield Table(title=f"[{name}]", model=model)
    yield Table(title="[[auth.tokens]]", model=TokenSettings)
    for kind, source in SOURCE_TYPES.items():
        title = f'[sources.NAME] with type = "{kind}"'
        yield Table(title=title, model=source)
    yield Table(
        title="[sources.NAME.channels.NAME], [sources.NAME.pools.NAME]", model=CountSettings
    )
    yield Table(title="agents = [{ … }]", model=AgentSettings)
    yield Table(title="sign_in = { … }", model=SignInSettings)
    yield Table(title="[zones.NAME]", model=ZonePolicy)
    yield Table(title="[zones.NAME.mpps.NAME]", model=MppPolicy)
    application = "[zones.NAME.applications.NAME]"
    yield Table(title=application, model=ApplicationPolicy)
    campaign = "[zones.NAME.campaigns.NAME]"
    yield Table(title=campaign, model=CampaignPolicy)
    yield Table(title="[zones.NAME.pools.NAME]", model=PoolPolicy)
    yield Table(title="breaker = { … }", model=BreakerPolicy)


def page() -> str:
    """Build the page. Raises `LookupError` for a field without a docstring."""
    return "\n".join([TOP, *("\n".join(_table(one)) + "\n" for one in tables())])


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Field -> its description: the docstring below it, in the model or in one that it extends.

    Raises:
        LookupError: a field has none.
    """
    found = {key: one.description or "" for key, one in model.model_fields.items()}
    if missing := [f"{model.__name__}.{key}" for key, text in found.items() if not text]:
        raise LookupError(f"fields without a docstring: {', '.join(missing)}")
    return {key: " ".join(text.split()) for key, text in found.items()}


def _introduction(model: type[BaseModel]) -> str:
    """The first paragraph of its docstring."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())


def _table(table: Table) -> Iterator[str]:
    texts = descriptions(table.model)
    schema = table.model.model_json_schema()
    required = schema.get("required", ())
    yield f"## `{table.title}`\n\n{_introduction(table.model)}\n"
    yield "| key | value | default | |\n|---|---|---|---|"
    for key, one in schema["properties"].items():
        default = "**required**" if key in required else _default(one)
        yield f"| `{key}` | {_value(_inline_enum(one, schema))} | {default} | {texts[key]} |"
    if table.title == "[server]":
        yield f"\nIn the environment: `{variable_name(('server', 'port'))}`, and so on."


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    if "const" in schema:
        return "**required**"
    if default is None or default == [] or isinstance(default, dict):
        return "*absent*"
    return f"`{json.dumps(default)}`"


def _inline_enum(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition that `value` refers to, if it is an enumeration."""
    definition = schema.get("$defs", {}).get(value.get("$ref", "").rpartition("/")[2], {})
    return definition if "enum" in definition else value


def _value(schema: Mapping[str, Any]) -> str:
    """The allowed values, in words."""
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one.get("type") != NULL]
        return " or ".join(dict.fromkeys(map(_value, kinds)))
    if "$ref" in schema:
        return "table"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema.get("enum") or [schema["const"]])
    return _KINDS[schema["type"]](schema)


def _number(schema: Mapping[str, Any]) -> str:
    word = "whole number" if schema["type"] == "integer" else "number"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None:
        return word
    return f"{low} to {high}" if schema["type"] == "integer" else f"{word}, {low} to {high}"


def _text(schema: Mapping[str, Any]) -> str:
    known = {"password": "secret", "path": "path", "date": "date"}
    return known.get(schema.get("format", "")) or WORDS.get(schema.get("pattern", ""), "text")


def _list(schema: Mapping[str, Any]) -> str:
    return f"list of {_value(schema['items'])}"


def _object(schema: Mapping[str, Any]) -> str:
    """A table with free keys: the kinds of its keys and values."""
    ((pattern, inside),) = schema["patternProperties"].items()
    return f"table: {WORDS[pattern]} → {_value(inside)}"


_KINDS = {
    "integer": _number,
    "number": _number,
    "string": _text,
    "boolean": lambda _: "`true`, `false`",
    "array": _list,
    "object": _object,
}

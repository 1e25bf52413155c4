"""The API reference: the OpenAPI document as Markdown."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from admission import __version__
from admission.http.openapi.document import describe
from admission.http.routes import routes

JSON = "application/json"
BOUNDS = ("minimum", "maximum", "maxLength", "maxItems", "pattern")
TOP = """\
# HTTP API

Requests and responses are JSON in UTF-8. Durations are whole milliseconds. Every response about a
zone has `now`, the zone's time in ms. A time that a caller sends (`ended_at`, `taken_at`) is the
`now` of a response of that zone, plus the time since that response arrived, by the caller's own
stopwatch. Errors are `application/problem+json` (RFC 9457). A denial is a response with status 200,
not an error: [reasons.md](reasons.md) lists the reasons.

Clients ignore unknown fields of responses, and read an unknown reason as a denial. A request with
an unknown field is refused (422): servers are upgraded before clients.

If tokens are configured, requests need `Authorization: Bearer TOKEN`; the role `operator` has the
rights of all others.

This page is generated (`make docs`) from the OpenAPI document that the service itself serves at
`/openapi.json`, and as a page at `/docs`.
"""

Spec = Mapping[str, Any]


def page() -> str:
    """Build the page."""
    # A deep copy: the responses of the document share parts.
    spec = json.loads(json.dumps(describe(routes(), __version__)))
    return "\n".join([TOP, *_overview(spec), *_sections(spec), *_objects(spec)])


def _operations(spec: Spec) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _overview(spec: Spec) -> Iterator[str]:
    yield "| call | summary | roles |\n|---|---|---|"
    for method, path, operation in _operations(spec):
        anchor = operation["operationId"].replace("_", "-")
        link = f"[`{method} {path}`](#{anchor})"
        yield f"| {link} | {operation['summary']} | {_roles(operation)} |"
    yield ""


def _roles(operation: Spec) -> str:
    if not operation["security"]:
        return "public"
    return str(operation["description"].partition(": ")[2].rstrip("."))


def _sections(spec: Spec) -> Iterator[str]:
    for tag in spec["tags"]:
        yield f"## {tag['name']}\n"
        for method, path, operation in _operations(spec):
            if tag["name"] in operation["tags"]:
                yield from _operation(spec, method, path, operation)


def _operation(spec: Spec, method: str, path: str, operation: Spec) -> Iterator[str]:
    anchor = operation["operationId"].replace("_", "-")
    yield f'### <a id="{anchor}"></a>`{method} {path}`\n'
    stop = "" if operation["summary"].endswith("?") else "."
    yield f"{operation['summary']}{stop} {operation['description']}\n"
    if operation["parameters"]:
        yield "| parameter | in | value | |\n|---|---|---|---|"
        for one in operation["parameters"]:
            text = one.get("description") or one["schema"].get("description", "")
            yield f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {text} |"
        yield ""
    if body := operation.get("requestBody"):
        yield f"Request: {_content(body['content'])}\n"
        yield from _examples(body["content"])
    yield f"Response: {_content(operation['responses']['200']['content'])}\n"
    yield from _examples(operation["responses"]["200"]["content"])
    if faults := [status for status in operation["responses"] if status != "200"]:
        yield "Errors: " + ", ".join(map(_error_link, faults)) + "\n"


def _error_link(status: str) -> str:
    return f"[{status}](#errors)"


def _content(content: Spec) -> str:
    schema = next(iter(content.values()))["schema"]
    return f"{_type(schema)} as {' or '.join(f'`{one}`' for one in content)}."


def _examples(content: Spec) -> Iterator[str]:
    for name, example in next(iter(content.values())).get("examples", {}).items():
        shown = json.dumps(example["value"], indent=2)
        yield f"<details><summary>{name}</summary>\n\n```json\n{shown}\n```\n</details>\n"


def _objects(spec: Spec) -> Iterator[str]:
    yield "## Errors\n\n| status | |\n|---|---|"
    for status, response in spec["components"]["responses"].items():
        yield f"| {status} | {response['description']} |"
    yield "\n## Objects\n"
    for name, schema in spec["components"]["schemas"].items():
        if not name.endswith("Policy"):
            yield from _object(name, schema)
    yield "The objects of a policy are the tables of `[zones.NAME]`: [configuration.md]" + (
        "(configuration.md#zonesname).\n"
    )


def _object(name: str, schema: Spec) -> Iterator[str]:
    yield f"### {name}\n"
    if about := schema.get("description"):
        yield about.replace("\n", " ") + "\n"
    if not (fields := schema.get("properties")):
        yield f"{_type(schema)}\n"
        return
    required = schema.get("required", ())
    yield "| field | value | default | |\n|---|---|---|---|"
    for field, one in fields.items():
        default = "**required**" if field in required else _default(one)
        text = "; ".join(filter(None, [one.get("description", "").rstrip("."), _bounds(one)]))
        yield f"| `{field}` | {_type(one)} | {default} | {text} |"
    yield ""


def _default(schema: Spec) -> str:
    default = schema.get("default")
    return "" if default in (None, [], {}, "") else f"`{json.dumps(default)}`"


def _bounds(schema: Spec) -> str:
    kinds = [schema, *schema.get("anyOf", [])]
    found = [f"{word} `{one[word]}`" for one in kinds for word in BOUNDS if word in one]
    return ", ".join(found).replace("|", "\\|")


def _type(schema: Spec) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        page = "configuration.md#zonesname" if name.endswith("Policy") else f"#{name.lower()}"
        return f"[{name}]({page})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema.get("enum") or [schema["const"]])
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", "anything"))

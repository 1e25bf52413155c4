"""The OpenAPI document as one self-contained HTML page, without scripts and external resources."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{border-bottom:1px solid #ccc;margin-top:3rem}h3{font-size:1rem;margin-top:2rem}
code,pre{font-family:ui-monospace,monospace;font-size:.875rem}
pre{background:#f4f4f4;padding:.75rem;overflow-x:auto;border-radius:4px}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0}
td,th{border-bottom:1px solid #eee}
.method{display:inline-block;min-width:3rem;font-weight:bold;color:#0a5}summary{cursor:pointer}
"""
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMaximum", "maxLength", "maxItems", "pattern")


def render(spec: dict[str, Any]) -> str:
    """Render this OpenAPI document."""
    info = spec["info"]
    tags = "".join(_render_tag(spec, tag["name"]) for tag in spec["tags"])
    schemas = "".join(
        _render_schema(name, one) for name, one in spec["components"]["schemas"].items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])}</p>{tags}<h2>Objects</h2>{schemas}</body></html>"
    )


def _render_tag(spec: dict[str, Any], tag: str) -> str:
    operations = [
        _render_operation(method, path, operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]
    return f"<h2>{escape(tag)}</h2>{''.join(operations)}"


def _render_operation(method: str, path: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody")
    request = f"<p>Request: {_render_content(body)}</p>" if body else ""
    return (
        f'<h3 id="{escape(operation["operationId"])}"><span class="method">{method.upper()}</span> '
        f"<code>{escape(path)}</code></h3><p>{escape(operation['summary'])}. "
        f"{escape(operation['description'])}</p>{_render_parameters(operation)}{request}"
        f"<p>Response: {_render_content(operation['responses']['200'])}</p>"
        f"{_render_errors(operation)}"
    )


def _render_parameters(operation: dict[str, Any]) -> str:
    rows = [
        (one["name"], one["in"], _render_type(one["schema"])) for one in operation["parameters"]
    ]
    return _render_table(("parameter", "in", "type"), rows) if rows else ""


def _render_errors(operation: dict[str, Any]) -> str:
    faults = ", ".join(status for status in operation["responses"] if status != "200")
    return f"<p>Errors: {faults}</p>" if faults else ""


def _render_content(body: dict[str, Any]) -> str:
    """A link to the object of a body, and its examples."""
    media_types, content = " or ".join(body["content"]), next(iter(body["content"].values()))
    examples = "".join(
        f"<details><summary>{escape(name)}</summary>"
        f"<pre>{escape(json.dumps(one['value'], indent=2))}</pre></details>"
        for name, one in content.get("examples", {}).items()
    )
    return f"{_render_type(content['schema'])} as {escape(media_types)}{examples}"


def _render_schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (field, _render_type(one), _render_constraints(one, field in required))
        for field, one in schema.get("properties", {}).items()
    ]
    table = _render_table(("field", "type", ""), rows) if rows else f"<p>{_render_type(schema)}</p>"
    about = escape(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{about}</p>{table}'


def _render_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_render_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return escape(", ".join(map(json.dumps, schema.get("enum") or [schema["const"]])))
    if "items" in schema:
        return f"list of {_render_type(schema['items'])}"
    return escape(str(schema.get("type", "anything")))


def _render_constraints(schema: dict[str, Any], required: bool) -> str:
    found = ["required"] if required else []
    if "default" in schema and schema["default"] is not None:
        found.append(f"default {json.dumps(schema['default'])}")
    bounds = [schema, *schema.get("anyOf", [])]
    found += [f"{word} {one[word]}" for one in bounds for word in _BOUNDS if word in one]
    return escape("; ".join([*found, *filter(None, [schema.get("description")])]))


def _render_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Cells are HTML, except the first, which is a name."""
    top = "".join(f"<th>{word}</th>" for word in head)
    return f"<table><tr>{top}</tr>{''.join(map(_render_row, rows))}</table>"


def _render_row(cells: tuple[str, ...]) -> str:
    name, *rest = cells
    return (
        f"<tr><td><code>{escape(name)}</code></td>{''.join(f'<td>{one}</td>' for one in rest)}</tr>"
    )

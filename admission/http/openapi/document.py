"""Builds the OpenAPI 3.1 document from the routes and their models."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from admission.domain.types import AGENT_ID, ANY_POOL, RESERVATION_ID
from admission.http.openapi.examples import EXAMPLES
from admission.http.route import Route
from admission.http.schemas.forms import FORM
from admission.http.schemas.responses import Problem

_REF: Final = "#/components/schemas/{model}"
_IN_PATH: Final = re.compile(r"{(\w+)}")
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "id": {"type": "string", "pattern": RESERVATION_ID, "description": "Id of a reservation."},
    "zone": {"type": "string", "description": "Name of a zone."},
    "file": {"type": "string", "description": "Name of a file of the dashboard."},
    "token": {"type": "string", "description": "The secret part of a `report_url`."},
    "agent": {"type": "string", "pattern": AGENT_ID, "description": "Id of an agent."},
    "pool": {
        "type": "string",
        "pattern": ANY_POOL,
        "description": "Full name of a pool, such as campaign:collections; mpp:mpp1: a whole MPP.",
    },
}
_IF_MATCH: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "ETag of the version to be replaced; absent, or *: any version.",
    "example": '"7"',
}
_FAULTS: Final = {
    400: "The body is not JSON.",
    401: "The request has no credentials, or unknown ones.",
    403: "The token does not give access to this campaign, zone or call.",
    404: "Unknown zone, pool, agent, reservation or campaign.",
    409: "The request_id was used with another body; or a concurrent change was made.",
    412: "The live version is not the one of If-Match.",
    413: "The body has more than 1 MiB.",
    415: "The body has a media type that is not accepted.",
    422: "A field is invalid; `errors` names it.",
    429: "The caller exceeds its request rate, which is not a limit of the platform.",
    503: "The store is unreachable, has another schema, or the service is shutting down.",
}
_ABOUT: Final = (
    "An outbound dialer requests admission before it launches a call. Durations are integers in "
    "ms. Every response about a zone has `now`, the zone's time. Errors are "
    "application/problem+json."
)


def describe(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Build the OpenAPI document of these routes."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _describe_operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "admission", "version": version, "description": _ABOUT},
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": _build_schemas(routes),
            "responses": {str(status): _describe_error(status) for status in _FAULTS},
            "headers": {"X-Request-ID": _request_id_header()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe_operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _make_operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "description": _describe_roles(route),
        "parameters": _path_parameters(route) + _query_parameters(route) + _conditions(route),
        "security": [] if route.roles is None else [{"bearer": []}],
        "responses": {"200": _describe_response(route)},
    }
    for status in sorted(route.faults):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {media_type: _describe_content(body) for media_type, body in _bodies(route)},
        }
    return operation


def _bodies(route: Route) -> Iterator[tuple[str, type[BaseModel]]]:
    for media_type in route.body_types if route.body is not None else ():
        assert route.body is not None
        yield media_type, route.body
    if route.form is not None:
        yield FORM, route.form


def _make_operation_id(route: Route) -> str:
    words = re.sub(r"[^a-z]+", "_", f"{route.method} {route.path.removeprefix('/v1')}".lower())
    return words.strip("_")


def _describe_roles(route: Route) -> str:
    if route.roles is None:
        return "Public: needs no credentials."
    roles = sorted({*route.roles, "operator"})
    return f"Roles, once tokens are configured: {', '.join(roles)}."


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]}
        for name in _IN_PATH.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties = route.query.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "schema": one} for name, one in properties.items()]


def _conditions(route: Route) -> list[dict[str, Any]]:
    return [_IF_MATCH] if route.etag and route.body is not None else []


def _describe_response(route: Route) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    if route.etag:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version, in quotes."}
    if isinstance(route.answer, str):
        content = {route.answer: {"schema": {"type": _find_type(route.answer)}}}
    else:
        content = {"application/json": _describe_content(route.answer)}
    return {"description": route.summary, "headers": headers, "content": content}


def _find_type(media_type: str) -> str:
    return "object" if media_type == "application/json" else "string"


def _describe_content(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    if examples := EXAMPLES.get(model):
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return content


def _describe_error(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds."}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _FAULTS[status],
    }
    content = {"schema": {"$ref": _REF.format(model="Problem")}, "example": problem}
    return {
        "description": _FAULTS[status],
        "headers": headers,
        "content": {"application/problem+json": content},
    }


def _request_id_header() -> dict[str, Any]:
    text = "The caller's own, if it has at most 128 safe characters; else generated."
    return {"description": text, "schema": {"type": "string"}}


def _build_schemas(routes: Iterable[Route]) -> dict[str, Any]:
    requests = {body for route in routes for _, body in _bodies(route)}
    responses = {route.answer for route in routes if not isinstance(route.answer, str)} | {Problem}
    _, schema = models_json_schema(
        [
            (model, "validation")
            for model in sorted(requests | responses, key=lambda one: one.__name__)
        ],
        ref_template=_REF,
    )
    defs: dict[str, Any] = schema["$defs"]
    return dict(sorted(defs.items()))

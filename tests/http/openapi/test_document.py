"""The description says what is served, no more and no less."""

import re
from typing import Any

import pytest
from aiohttp import ClientSession
from openapi_spec_validator import validate
from pydantic import BaseModel

from admission.http.app import create_app
from admission.http.context import APP_CONTEXT
from admission.http.openapi.examples import EXAMPLES
from admission.http.routes import routes
from tests.support.http_server import ASK, ID, FakeDecider

EXAMPLES_OF_ALL = [
    (model, value) for model, examples in EXAMPLES.items() for value in examples.values()
]


@pytest.fixture
def spec(decider: FakeDecider) -> dict[str, Any]:
    return create_app(decider)[APP_CONTEXT].description.document


def test_the_description_is_valid(spec: dict[str, Any]) -> None:
    validate(spec)


def test_every_route_is_described_and_nothing_else(decider: FakeDecider) -> None:
    app = create_app(decider)
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    paths = app[APP_CONTEXT].description.document["paths"]
    described = {(method, path) for path, methods in paths.items() for method in methods}
    assert served == described


def test_operations_have_names_of_their_own(spec: dict[str, Any]) -> None:
    names = [one["operationId"] for methods in spec["paths"].values() for one in methods.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere(spec: dict[str, Any]) -> None:
    for ref in set(re.findall(r"'\$ref': '#/([^']+)'", str(spec))):
        found: Any = spec
        for part in ref.split("/"):
            found = found[part]
        assert found


@pytest.mark.parametrize(("model", "value"), EXAMPLES_OF_ALL)
def test_examples_are_true(model: type[BaseModel], value: dict[str, Any]) -> None:
    model.model_validate(value)


def test_every_body_and_every_decision_has_an_example() -> None:
    bodies = {route.body for route in routes() if route.body is not None}
    assert bodies <= set(EXAMPLES)


def test_public_routes_ask_for_no_credentials(spec: dict[str, Any]) -> None:
    assert spec["paths"]["/healthz"]["get"]["security"] == []
    assert spec["paths"]["/v1/admissions"]["post"]["security"] == [{"bearer": []}]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/admissions", "{", 400),
        ("POST", "/v1/admissions", "{}", 422),
        ("PUT", "/v1/zones/{zone}/snapshot", "{}", 422),
        ("GET", "/v1/reservations/{id}", None, 200),
        ("GET", "/v1/zones/{zone}/time", None, 200),
    ],
)
async def test_statuses_that_are_answered_are_described(
    http: ClientSession, spec: dict[str, Any], method: str, path: str, body: Any, status: int
) -> None:
    url = path.format(id=ID, zone="East")
    headers = {"Content-Type": "application/json"} if body else {}
    async with http.request(method, url, data=body, headers=headers) as answer:
        assert answer.status == status
    assert str(status) in spec["paths"][path][method.lower()]["responses"]


async def test_the_description_is_served(http: ClientSession, spec: dict[str, Any]) -> None:
    async with http.get("/openapi.json") as answer:
        assert await answer.json() == spec


async def test_the_page_is_complete_in_itself(http: ClientSession, spec: dict[str, Any]) -> None:
    async with http.get("/docs") as answer:
        page = await answer.text()
    assert answer.content_type == "text/html"
    assert not re.search(r"<script|<link|<img|(src|href|action)=.?https?:|@import|url\(", page)
    for path in spec["paths"]:
        assert f"<code>{path}</code>" in page
    for name in spec["components"]["schemas"]:
        assert f'id="{name}"' in page


async def test_the_links_of_the_page_lead_somewhere(http: ClientSession) -> None:
    async with http.get("/docs") as answer:
        page = await answer.text()
    for name in set(re.findall(r'href="#([^"]+)"', page)):
        assert f'id="{name}"' in page


def test_the_schema_of_a_request_is_that_of_the_parser(spec: dict[str, Any]) -> None:
    ask = spec["components"]["schemas"]["AdmissionRequest"]
    assert ask["additionalProperties"] is False
    assert set(ASK) < set(ask["properties"])
    assert ask["required"] == ["campaign"]


def test_every_field_has_a_description(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]
    missing = [
        f"{name}.{field}"
        for name in _taken(spec)
        for field, one in schemas[name].get("properties", {}).items()
        if not one.get("description")
    ]
    assert missing == []


def _taken(spec: dict[str, Any]) -> set[str]:
    """Every object of a body, but a policy's: its settings have a page of their own."""
    operations = [one for methods in spec["paths"].values() for one in methods.values()]
    bodies = [one["requestBody"]["content"] for one in operations if "requestBody" in one]
    found, waiting = set(), _named(bodies) - {"ZonePolicy"}
    while waiting:
        found |= waiting
        waiting = set().union(*(_named(spec["components"]["schemas"][one]) for one in waiting))
        waiting -= found
    return found


def _named(schema: Any) -> set[str]:
    return set(re.findall(r"#/components/schemas/(\w+)", repr(schema)))

"""Agents' sessions are handed over: what reaches the decider, and what is refused before."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from admission.errors import Conflict, NotFound
from admission.http.schemas.responses import HandOverAnswer
from tests.support.http_server import FakeDecider

GUID = "4e2c0c76-5c2c-4b4e-9d3a-1f6a2f1b7c55.AgentGateway1"
PATH = "/v1/zones/East/agents/1001/guid"


@pytest.mark.parametrize("said", [GUID, f"JSESSIONID={GUID}"])
async def test_a_guid_reaches_the_decider_as_requests_carry_it(
    http: ClientSession, decider: FakeDecider, said: str
) -> None:
    async with http.put(PATH, json={"guid": said}) as answer:
        text = await answer.text()

    assert answer.status == 200
    assert HandOverAnswer.model_validate_json(text).pool == "agent:1001"
    assert decider.calls == [("take_agent_session", "East", 1001, GUID)]
    assert GUID not in text


@pytest.mark.parametrize("agent", ["0", "99", "0101", "1000000", "x", "-101", "\uff11001"])
async def test_an_invalid_agent_id_is_not_found(
    http: ClientSession, decider: FakeDecider, agent: str
) -> None:
    async with http.put(f"/v1/zones/East/agents/{agent}/guid", json={"guid": GUID}) as answer:
        assert answer.status == 404
    assert decider.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"guid": ""},
        {"guid": "short"},
        {"guid": "a b" * 9},
        {"guid": "x" * 400},
        {"guid": 12345678},
        {"guid": f"{GUID}\r\nEvil: 1"},
        {"guid": GUID, "more": 1},
        [],
    ],
)
async def test_an_invalid_guid_is_refused_and_not_echoed(
    http: ClientSession, decider: FakeDecider, body: Any
) -> None:
    async with http.put(PATH, json=body) as answer:
        text = await answer.text()

    assert answer.status == 422
    assert GUID not in text
    assert json.loads(text)["errors"]
    assert decider.calls == []


@pytest.mark.parametrize(("fault", "status"), [(NotFound("no"), 404), (Conflict("full"), 409)])
async def test_a_refusal_of_the_decider_is_a_problem(
    http: ClientSession, decider: FakeDecider, fault: Exception, status: int
) -> None:
    decider.fault = fault
    async with http.put(PATH, json={"guid": GUID}) as answer:
        assert answer.status == status


async def test_an_unknown_zone_is_not_found(http: ClientSession) -> None:
    async with http.put("/v1/zones/North/agents/1001/guid", json={"guid": GUID}) as answer:
        assert answer.status == 404

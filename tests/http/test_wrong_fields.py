"""JSON with wrong fields: each is named in the problem, and the decider is not asked."""

from typing import Any

import pytest
from aiohttp import ClientSession

from tests.support.http_server import ASK, ID, NOW, FakeDecider, problem

ASKS = "/v1/admissions"
LAUNCHED, RENEW, END = (f"/v1/reservations/{ID}/{verb}" for verb in ("launched", "renew", "end"))
SNAPSHOT = "/v1/zones/East/snapshot"
GOOD = {"taken_at": NOW, "total": 1, "unused": {"sip": 1}}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"campaign": None}, "campaign"),
        ({"campaign": ""}, "campaign"),
        ({"campaign": "a b"}, "campaign"),
        ({"campaign": "a\n"}, "campaign"),
        ({"campaign": "a" * 65}, "campaign"),
        ({"campaign": 7}, "campaign"),
        ({"campaign": ["a"]}, "campaign"),
        ({"zone": "a~b"}, "zone"),
        ({"zone": "{a}"}, "zone"),
        ({"channel": 1}, "channel"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "a b"}, "request_id"),
        ({"request_id": "a" * 65}, "request_id"),
        ({"count": 0}, "count"),
        ({"count": 101}, "count"),
        ({"count": "1"}, "count"),
        ({"count": 1.5}, "count"),
        ({"count": True}, "count"),
        ({"count": None}, "count"),
        ({"count": 10**30}, "count"),
        ({"min_count": 2}, "body"),
        ({"min_count": -1}, "min_count"),
        ({"mpp": ""}, "mpp"),
        ({"application": {}}, "application"),
        ({"pools": "trunk:a"}, "pools"),
        ({"pools": ["trunk"]}, "pools.0"),
        ({"pools": ["trunk:a", "trunk:a"]}, "body"),
        ({"pools": ["channel:sip"]}, "body"),
        ({"pools": ["campaign:other"]}, "body"),
        ({"pools": [f"a:{n}" for n in range(9)]}, "pools"),
        ({"wait_ms": -1}, "wait_ms"),
        ({"wait_ms": 30_001}, "wait_ms"),
        ({"owner": "o" * 129}, "owner"),
        ({"owner": "o\x1b[2J"}, "owner"),
        ({"owner": "o\r"}, "owner"),
        ({"owner": "\u202eo"}, "owner"),
        ({"dry_run": 1}, "dry_run"),
        ({"dry_run": "true"}, "dry_run"),
        ({"explain": True}, "body"),
    ],
)
async def test_a_wrong_field_of_an_ask(
    http: ClientSession, decider: FakeDecider, changed: dict[str, Any], field: str
) -> None:
    async with http.post(ASKS, json={**ASK, **changed}) as answer:
        found = await problem(answer, 422, decider)
    assert field in [one["field"] for one in found["errors"]]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (LAUNCHED, {"port_taken": 1}, "port_taken"),
        (LAUNCHED, {"mpp": "a b"}, "mpp"),
        (LAUNCHED, {"session_id": "s" * 129}, "session_id"),
        (LAUNCHED, {"session_id": "s\x00"}, "session_id"),
        (LAUNCHED, {"reservation": {}}, "reservation.zone"),
        (LAUNCHED, {"reservation": {**ASK, "owner": "x"}}, "reservation.owner"),
        (RENEW, {"port_taken": True}, "port_taken"),
        (RENEW, {"reservation": []}, "reservation"),
        (END, {"outcome": "lost"}, "outcome"),
        (END, {"outcome": None}, "outcome"),
        (END, {"ended_at": -1}, "ended_at"),
        (END, {"ended_at": 1.5}, "ended_at"),
        (END, {"ended_at": 2**53}, "ended_at"),
        (END, {"ended_at": "now"}, "ended_at"),
        (END, {"platform_code": 34606}, "platform_code"),
        (END, {"platform_code": "486\x1b"}, "platform_code"),
        (END, {"reservation": ASK}, "reservation"),
        (ASKS + "/batch", {}, "requests"),
        (ASKS + "/batch", {"requests": {}}, "requests"),
        (ASKS + "/batch", {"requests": [1]}, "requests.0"),
        (ASKS + "/batch", {"requests": [{}] * 1001}, "requests"),
        ("/v1/reservations/batch", {"reports": None}, "reports"),
        ("/v1/reservations/batch", {"reports": [{}] * 1001}, "reports"),
    ],
)
async def test_a_wrong_field_of_a_report_or_batch(
    http: ClientSession, decider: FakeDecider, path: str, body: dict[str, Any], field: str
) -> None:
    async with http.post(path, json=body) as answer:
        found = await problem(answer, 422, decider)
    assert field in [one["field"] for one in found["errors"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**GOOD, "taken_at": None}, "taken_at"),
        ({"total": 1, "unused": {"sip": 1}}, "taken_at"),
        ({**GOOD, "taken_at": "now"}, "taken_at"),
        ({**GOOD, "taken_at": -5}, "taken_at"),
        ({**GOOD, "total": "1"}, "total"),
        ({**GOOD, "total": 1.5}, "total"),
        ({**GOOD, "total": 10**30}, "total"),
        ({**GOOD, "unused": {"sip": None}}, "unused.sip"),
        ({**GOOD, "unused": [1]}, "unused"),
        ({**GOOD, "unused": {"a b": 1}}, "unused.a b.[key]"),
        ({**GOOD, "pools": {"agent": {}}}, "pools.agent.[key]"),
        ({**GOOD, "pools": {"agent:1": {"total": 1}}}, "pools.agent:1.unused"),
        ({"taken_at": NOW}, "body"),
        ({"taken_at": NOW, "total": 1}, "body"),
    ],
)
async def test_a_wrong_field_of_a_snapshot(
    http: ClientSession, decider: FakeDecider, body: dict[str, Any], field: str
) -> None:
    async with http.put(SNAPSHOT, json=body) as answer:
        found = await problem(answer, 422, decider)
    assert field in [one["field"] for one in found["errors"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=x", "limit=", "state=dead", "cursor=%0a", "cursor=",
        "zone=a%20b", "campaign=", "colour=red", "limit=1&limit=2", "owner=" + "o" * 129,
        "owner=a%1b",
    ],
)  # fmt: skip
async def test_a_wrong_query(http: ClientSession, decider: FakeDecider, query: str) -> None:
    async with http.get(f"/v1/reservations?{query}") as answer:
        found = await problem(answer, 422, decider)
    assert found["errors"]

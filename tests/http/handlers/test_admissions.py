"""*May I launch?*: what reaches the ledger, and what is answered."""

import json
import logging
from typing import Any

import pytest
from aiohttp import ClientSession

from admission.domain.types import SigningKeys
from admission.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from admission.http.auth.tokens import ANONYMOUS
from admission.http.handlers.admissions import admission_operation, compute_digest
from admission.http.ids import Ids, Proof, prove
from admission.http.schemas.requests import AdmissionRequest
from admission.http.schemas.responses import Decision
from tests.support.http_server import ASK, NOW, FakeDecider, Server


async def test_a_grant_is_answered_in_the_order_of_the_description(http: ClientSession) -> None:
    async with http.post("/v1/admissions", json={**ASK, "request_id": "r-81"}) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        body = await answer.json()
    assert list(body) == [
        "decision", "now", "request_id", "zone", "channel", "campaign", "granted",
        "launch_within_ms", "reservations", "room", "snapshot",
    ]  # fmt: skip
    assert body["now"] == NOW
    assert body["request_id"] == "r-81"
    Decision.model_validate(body)


async def test_every_field_of_a_request_reaches_the_ledger(
    http: ClientSession, decider: FakeDecider
) -> None:
    asked = {
        **ASK, "count": 3, "min_count": 2, "application": "ivr", "mpp": "mpp1", "wait_ms": 2000,
        "pools": ["trunk:a"], "owner": "d-7", "dry_run": True, "explain": True, "request_id": "r:1",
    }  # fmt: skip
    async with http.post("/v1/admissions", json=asked) as answer:
        assert answer.status == 200
    [(_, zone, op)] = decider.calls
    assert zone == "East"
    made = {"op": "admit", "id": op["id"], "body": op["body"]}
    apart = ("zone", "wait_ms")
    assert op == made | {name: value for name, value in asked.items() if name not in apart}
    assert decider.waits == [2000]


async def test_absent_fields_are_left_to_the_ledger(
    http: ClientSession, decider: FakeDecider
) -> None:
    async with http.post("/v1/admissions", json={"campaign": "collections"}) as answer:
        assert answer.status == 200
    [(_, zone, op)] = decider.calls
    assert zone == "East"
    assert prove(op["id"], SigningKeys(current=b"secret of East")) is Proof.ISSUED
    assert op["request_id"] == "r-" + op["id"]
    assert op["owner"] == "anonymous"
    left_out = {"channel", "mpp", "application", "wait_ms", "dry_run", "explain"}
    assert not (left_out | {"count", "min_count"}) & set(op)


def test_every_request_gets_a_new_id() -> None:
    ask = AdmissionRequest(campaign="c")
    ids = Ids()
    assert len({admission_operation(ask, ANONYMOUS, ids.new())["id"] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "other",
    [
        {"channel": "any"},
        {"count": 2},
        {"count": 2, "min_count": 2},
        {"application": "a"},
        {"mpp": "m"},
        {"pools": ["trunk:a"]},
    ],
)
def test_a_field_that_decides_changes_the_digest(other: dict[str, Any]) -> None:
    assert compute_digest(AdmissionRequest(campaign="c", **other)) != compute_digest(
        AdmissionRequest(campaign="c")
    )


@pytest.mark.parametrize(
    "other",
    [{"wait_ms": 5}, {"owner": "o"}, {"dry_run": True, "explain": True}, {"request_id": "r"}],
)
def test_a_field_that_does_not_decide_keeps_the_digest(other: dict[str, Any]) -> None:
    assert compute_digest(AdmissionRequest(campaign="c", **other)) == compute_digest(
        AdmissionRequest(campaign="c")
    )


def test_the_order_of_pools_keeps_the_digest() -> None:
    one, other = (
        AdmissionRequest(campaign="c", pools=["a:1", "b:2"]),
        AdmissionRequest(campaign="c", pools=["b:2", "a:1"]),
    )
    assert compute_digest(one) == compute_digest(other)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (NotFound("Unknown campaign."), 404),
        (Conflict("Another body."), 409),
        (Invalid(FieldError(field="mpp", message="unknown")), 422),
    ],
)
async def test_a_fault_of_the_ledger_is_a_problem(
    http: ClientSession, decider: FakeDecider, fault: Exception, status: int
) -> None:
    decider.fault = fault
    async with http.post("/v1/admissions", json=ASK) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert answer.status == problem["status"] == status


async def test_an_unreachable_store_gives_a_retry_time(
    http: ClientSession, decider: FakeDecider
) -> None:
    decider.fault = Unavailable("The store does not answer.", retry_after_s=1.5)
    async with http.post("/v1/admissions", json=ASK) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert problem["retry_after_ms"] == 1500


async def test_a_batch_answers_good_and_bad_in_their_places(
    http: ClientSession, decider: FakeDecider
) -> None:
    asks = [
        {**ASK, "request_id": "a"},
        {"zone": "East"},
        {**ASK, "zone": "Nowhere"},
        {**ASK, "request_id": "b"},
    ]
    async with http.post("/v1/admissions/batch", json={"requests": asks}) as answer:
        results = (await answer.json())["results"]
    assert answer.status == 200
    assert [one["status"] for one in results] == [200, 422, 404, 200]
    assert [op["request_id"] for _, _, op in decider.calls] == ["a", "b"]
    assert results[1]["errors"][0]["field"] == "campaign"
    assert list(results[0])[:2] == ["status", "decision"]


async def test_a_batch_reaches_the_ledger_at_once_and_in_order(
    http: ClientSession, decider: FakeDecider
) -> None:
    asks = [{**ASK, "request_id": str(n)} for n in range(1000)]
    async with http.post("/v1/admissions/batch", json={"requests": asks}) as answer:
        results = (await answer.json())["results"]
    wanted = [str(n) for n in range(1000)]
    assert [op["request_id"] for _, _, op in decider.calls] == wanted
    assert [one["request_id"] for one in results] == wanted


async def test_each_result_of_a_batch_has_its_retry_time(
    http: ClientSession, decider: FakeDecider
) -> None:
    decider.fault = Unavailable("The store does not answer.")
    async with http.post("/v1/admissions/batch", json={"requests": [ASK]}) as answer:
        [result] = (await answer.json())["results"]
    assert (result["status"], result["retry_after_ms"]) == (503, 1000)


async def test_a_decision_is_logged_when_the_setting_says_so(
    http: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="admission.decisions")
    async with http.post("/v1/admissions", json=ASK):
        pass
    (record,) = [one for one in caplog.records if one.name == "admission.decisions"]
    assert (record.message, record.__dict__["fields"]["campaign"]) == ("grant", "collections")


async def test_answers_of_a_batch_keep_the_order_of_the_requests(http: ClientSession) -> None:
    asks = [ASK | {"request_id": f"r{n}"} for n in range(5)]
    asks[2] = asks[2] | {"zone": "West"}
    asks[3] = {"nothing": "right"}
    async with http.post("/v1/admissions/batch", json={"requests": asks}) as answer:
        results = (await answer.json())["results"]
    assert [one.get("request_id") for one in results] == ["r0", "r1", "r2", None, "r4"]
    assert [one["status"] for one in results] == [200, 200, 200, 422, 200]


async def test_a_request_to_close_the_connection_is_confirmed(server: Server) -> None:
    body = json.dumps(ASK)
    typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    head = (
        f"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{typed}\r\n\r\n"
    )
    answer = await server.raw((head + body).encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"\r\nDate: " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["decision"] == "grant"

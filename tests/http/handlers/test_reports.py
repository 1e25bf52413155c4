"""Reports: what reaches the ledger for each, alone and in batches."""

from typing import Any

import pytest
from aiohttp import ClientSession

from admission.errors import NotFound
from admission.http.auth.report_links import make_token
from admission.http.ids import make_signed_id
from tests.support.http_server import ID, NOW, FakeDecider, problem

RESTATED = {"zone": "East", "channel": "sip", "campaign": "collections", "pools": ["trunk:a"]}
ADOPT = {"channel": "sip", "campaign": "collections", "pools": ["trunk:a"]}


@pytest.mark.parametrize(
    ("verb", "body", "fields"),
    [
        ("launched", {}, {"port_taken": False}),
        (
            "launched",
            {"port_taken": True, "session_id": "s", "mpp": "m", "reservation": RESTATED},
            {"port_taken": True, "session": "s", "mpp": "m", "adopt": ADOPT},
        ),
        ("renew", {}, {}),
        ("renew", {"reservation": RESTATED}, {"adopt": ADOPT}),
        ("end", {}, {"outcome": "completed"}),
        ("end", {"outcome": "busy", "ended_at": NOW}, {"outcome": "busy", "ended_at": NOW}),
        ("end", {"outcome": "failed", "platform_code": "34606"}, {"outcome": "no_resource"}),
        ("end", {"outcome": "busy", "platform_code": "999"}, {"outcome": "busy"}),
    ],
)
async def test_a_report_reaches_the_ledger(
    http: ClientSession,
    decider: FakeDecider,
    verb: str,
    body: dict[str, Any],
    fields: dict[str, Any],
) -> None:
    async with http.post(f"/v1/reservations/{ID}/{verb}", json=body) as answer:
        shown = await answer.json()
    assert answer.status == 200
    assert decider.calls == [("report", "East", {"op": verb, "id": ID, **fields})]
    assert list(shown) == ["id", "now", "state", "repeated"]


@pytest.mark.parametrize("verb", ["launched", "renew", "end"])
async def test_no_body_is_an_empty_object(
    http: ClientSession, decider: FakeDecider, verb: str
) -> None:
    async with http.post(f"/v1/reservations/{ID}/{verb}") as answer:
        assert answer.status == 200
    assert len(decider.calls) == 1


@pytest.mark.parametrize("verb", ["launched", "renew", "end"])
async def test_no_body_needs_no_content_type(
    http: ClientSession, decider: FakeDecider, verb: str
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(f"/v1/reservations/{ID}/{verb}", headers=form) as answer:
        assert answer.status == 200


FORGED = [
    "East~" + make_signed_id(b"x7Yk2mPq", b"another secret"),
    "East~" + "A" * 19,
    ID + ".101",  # no grant has so many
    ID[:-1] + chr(ord(ID[-1]) ^ 1),
]


@pytest.mark.parametrize("verb", ["launched", "renew", "end"])
@pytest.mark.parametrize("forged", FORGED)
async def test_a_report_on_an_invented_id_does_not_reach_the_ledger(
    http: ClientSession, decider: FakeDecider, verb: str, forged: str
) -> None:
    async with http.post(f"/v1/reservations/{forged}/{verb}") as answer:
        await problem(answer, 404, decider)
    body = {"reports": [{"op": verb, "id": forged}, {"op": verb, "id": ID}]}
    async with http.post("/v1/reservations/batch", json=body) as answer:
        results = (await answer.json())["results"]
    assert [one["status"] for one in results] == [404, 200]
    assert [op["id"] for _, _, op in decider.calls] == [ID]


async def test_an_id_of_an_earlier_version_is_passed_on_as_unproved(
    http: ClientSession, decider: FakeDecider
) -> None:
    earlier = "East~x7Yk2mPq0aZ"
    async with http.post(f"/v1/reservations/{earlier}/end") as answer:
        assert answer.status == 200
    body = {"reports": [{"op": "renew", "id": earlier}, {"op": "renew", "id": f"{ID}.2"}]}
    async with http.post("/v1/reservations/batch", json=body) as answer:
        assert answer.status == 200
    assert [op.get("unproved") for _, _, op in decider.calls] == [True, True, None]


async def test_a_link_proves_an_id_of_an_earlier_version(
    http: ClientSession, decider: FakeDecider
) -> None:
    token = make_token(b"secret of East", "East~x7Yk2mPq0aZ", "collections")
    async with http.post(f"/r/{token}/renew") as answer:
        assert answer.status == 200
    [(_, _, op)] = decider.calls
    assert "unproved" not in op


async def test_an_unknown_reservation_is_404(http: ClientSession, decider: FakeDecider) -> None:
    decider.fault = NotFound("Unknown reservation.")
    async with http.post(f"/v1/reservations/{ID}/end") as answer:
        assert answer.status == 404


async def test_an_adopted_reservation_must_be_of_the_zone_in_its_id(
    http: ClientSession, decider: FakeDecider
) -> None:
    body = {"reservation": {**RESTATED, "zone": "West"}}
    async with http.post(f"/v1/reservations/{ID}/renew", json=body) as answer:
        refusal = await answer.json(content_type=None)
    assert (answer.status, refusal["errors"][0]["field"]) == (422, "reservation.zone")
    assert decider.calls == []


async def test_a_batch_answers_good_and_bad_in_their_places(
    http: ClientSession, decider: FakeDecider
) -> None:
    reports: list[dict[str, Any]] = [
        {"op": "launched", "id": ID, "port_taken": True},
        {"op": "cancel", "id": ID},
        {"op": ["end"], "id": ID},
        {"op": "end"},
        {"op": "end", "id": "nonsense"},
        {"op": "end", "id": ID, "outcome": "lost"},
        {"op": "renew", "id": ID, "outcome": "busy"},
        {"op": "end", "id": ID},
    ]
    async with http.post("/v1/reservations/batch", json={"reports": reports}) as answer:
        results = (await answer.json())["results"]
    assert answer.status == 200
    assert [one["status"] for one in results] == [200, 422, 422, 422, 404, 422, 422, 200]
    assert [op["op"] for _, _, op in decider.calls] == ["launched", "end"]

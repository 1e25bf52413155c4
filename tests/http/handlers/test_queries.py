"""Reservations, zones, time, snapshots, health: what is shown and what is asked of the decider."""

import pytest
from aiohttp import ClientSession

from admission.domain.snapshots import IngestAnswer, SnapshotGroup
from admission.errors import Unavailable
from admission.http.schemas.responses import ReservationPage, ZoneList
from tests.support.http_server import ID, NOW, FakeDecider


async def test_one_reservation(http: ClientSession, decider: FakeDecider) -> None:
    async with http.get(f"/v1/reservations/{ID}") as answer:
        body = await answer.json()
    assert decider.calls == [("get_reservation", "East", ID, None)]
    assert list(body) == ["id", "now", "state", "campaign"]


async def test_reservations_are_of_the_default_zone(
    http: ClientSession, decider: FakeDecider
) -> None:
    async with http.get("/v1/reservations") as answer:
        body = await answer.json()
    assert decider.calls == [("list_reservations", "East", {"limit": 100, "cursor": "0"})]
    assert body == {"now": NOW, "zone": "East", "cursor": None, "reservations": []}
    ReservationPage.model_validate(body)


async def test_reservations_are_filtered(http: ClientSession, decider: FakeDecider) -> None:
    filters = {"campaign": "c", "owner": "d-7", "state": "ended", "cursor": "17"}
    query = {**filters, "zone": "West", "limit": "10"}
    async with http.get("/v1/reservations", params=query) as answer:
        assert answer.status == 200
    assert decider.calls == [("list_reservations", "West", {**filters, "limit": 10})]


async def test_a_cursor_is_handed_on(
    http: ClientSession, decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reservations(**filters: object) -> dict[str, object]:
        return {"now": NOW, "cursor": "42", "reservations": []}

    monkeypatch.setattr(decider.zone("East"), "list_reservations", reservations)
    async with http.get("/v1/reservations") as answer:
        assert (await answer.json())["cursor"] == "42"


async def test_all_zones_are_listed(http: ClientSession) -> None:
    async with http.get("/v1/zones") as answer:
        body = await answer.json()
    assert [one["zone"] for one in body["zones"]] == ["East", "West"]
    ZoneList.model_validate(body)


async def test_an_unreachable_store_of_one_zone_does_not_hide_the_others(
    http: ClientSession, decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> dict[str, object]:
        raise Unavailable("The store does not answer.")

    monkeypatch.setattr(decider.zone("West"), "get_status", fail)
    async with http.get("/v1/zones") as answer:
        east, west = (await answer.json())["zones"]
    assert answer.status == 200
    assert east["now"] == NOW
    assert west["problem"]["status"] == 503


async def test_zones_are_503_when_no_store_answers(
    http: ClientSession, decider: FakeDecider
) -> None:
    decider.fault = Unavailable("The store does not answer.")
    async with http.get("/v1/zones") as answer:
        assert answer.status == 503


async def test_one_zone(http: ClientSession) -> None:
    async with http.get("/v1/zones/West") as answer:
        body = await answer.json()
    assert (body["zone"], body["now"], body["recovering"]) == ("West", NOW, True)


async def test_the_time_of_a_zone(http: ClientSession) -> None:
    async with http.get("/v1/zones/West/time") as answer:
        assert await answer.json() == {"now": NOW}


async def test_a_snapshot_is_pushed(http: ClientSession, decider: FakeDecider) -> None:
    body = {
        "taken_at": NOW,
        "total": 200,
        "unused": {"sip": 64, "h323": -1},
        "pools": {"agent:1": {"total": 1, "unused": 0}},
    }
    async with http.put("/v1/zones/East/snapshot", json=body) as answer:
        assert await answer.json() == {"accepted": True, "now": NOW}
    groups = [
        SnapshotGroup(total=200, unused={"channel:sip": 64, "channel:h323": -1}),
        SnapshotGroup(total=1, unused={"agent:1": 0}),
    ]
    assert decider.calls == [("push_snapshot", "East", NOW, groups)]


async def test_a_refused_snapshot_is_an_answer(
    http: ClientSession, decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def push(*args: object) -> IngestAnswer:
        refused = {"channel:sip": "future"}
        return IngestAnswer(
            now=NOW, accepted=False, reason="future", pool="channel:sip", refused=refused
        )

    monkeypatch.setattr(decider.zone("East"), "push_snapshot", push)
    body = {"taken_at": NOW, "total": 1, "unused": {"sip": 1}}
    async with http.put("/v1/zones/East/snapshot", json=body) as answer:
        shown = await answer.json()
    assert answer.status == 200
    assert (shown["accepted"], shown["reason"], shown["now"]) == (False, "future", NOW)


async def test_liveness_calls_no_decider(http: ClientSession, decider: FakeDecider) -> None:
    decider.fault = Unavailable("The store does not answer.")
    async with http.get("/healthz") as answer:
        assert answer.status == 200
    assert decider.calls == []


async def test_readiness_gives_the_cause(http: ClientSession, decider: FakeDecider) -> None:
    async with http.get("/readyz") as answer:
        assert answer.status == 200
    decider.fault = Unavailable("The store is of another schema.")
    async with http.get("/readyz") as answer:
        problem = await answer.json(content_type=None)
    assert (answer.status, problem["detail"]) == (503, "The store is of another schema.")


async def test_head_is_answered_without_a_body(http: ClientSession) -> None:
    async with http.head("/healthz") as answer:
        assert (answer.status, await answer.read()) == (200, b"")

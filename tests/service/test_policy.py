"""The live policy over HTTP: shown, replaced, patched; on a real Redis, by several at once."""

import asyncio
from typing import Any

import pytest

from admission.domain.policy.document import digest, parse_policy
from tests.support.service import EAST, SOURCE, ServiceHarness, serve_service, service_settings

PATH = "/v1/zones/East/policy"


async def policy(harness: ServiceHarness) -> dict[str, Any]:
    return dict((await harness.get(PATH))["policy"])


async def test_the_policy_is_shown_as_in_the_file(harness: ServiceHarness) -> None:
    found = await harness.get(PATH)
    assert set(found) == {"now", "zone", "version", "digest", "policy", "paused"}
    assert (found["zone"], found["version"], found["paused"]) == ("East", 1, {})
    assert found["policy"]["capacity"] == {"sip": 10, "h323": 4}
    assert "max_age_ms" not in found["policy"]
    assert found["digest"] == digest(parse_policy(found["policy"]))


async def test_a_policy_is_replaced_at_once_on_all_replicas(
    harness: ServiceHarness, redis_url: str
) -> None:
    async with serve_service(service_settings(EAST, redis_url)) as other:
        new = await policy(harness) | {"capacity": {"sip": 0, "h323": 4}}
        status, answer = await harness.send("PUT", PATH, new)

        assert (status, answer["version"], answer["changed"]) == (200, 2, True)
        assert (answer["policy"], answer["zone"]) == (new, "East")
        assert (await other.ask())["reason"] == "no_capacity"
        assert (await other.get(PATH))["version"] == 2


async def test_the_same_content_again_changes_nothing(harness: ServiceHarness) -> None:
    status, answer = await harness.send("PUT", PATH, await policy(harness))
    assert (status, answer["version"], answer["changed"]) == (200, 1, False)


async def test_the_order_of_keys_is_no_other_content(harness: ServiceHarness) -> None:
    said = await policy(harness)
    status, answer = await harness.send("PUT", PATH, dict(reversed(said.items())))
    assert (status, answer["changed"]) == (200, False)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_version_that_is_not_live_any_more_is_not_replaced(
    harness: ServiceHarness, method: str
) -> None:
    await harness.send("PATCH", PATH, {"shadow": True})
    body = {"shadow": False} if method == "PATCH" else await policy(harness) | {"shadow": False}

    status, problem = await harness.send(method, PATH, body, '"1"')

    assert (status, problem["status"]) == (412, 412)
    assert "version 2" in problem["detail"]
    assert (await policy(harness))["shadow"] is True


@pytest.mark.parametrize("if_match", ['"1"', "*", '"9", "1"'])
async def test_the_live_version_is_replaced(harness: ServiceHarness, if_match: str) -> None:
    status, answer = await harness.send("PATCH", PATH, {"shadow": True}, if_match)
    assert (status, answer["version"]) == (200, 2)


async def test_a_repeat_whose_answer_got_lost_is_no_failed_precondition(
    harness: ServiceHarness,
) -> None:
    first = await harness.send("PATCH", PATH, {"shadow": True}, '"1"')
    again = await harness.send("PATCH", PATH, {"shadow": True}, '"1"')
    assert (first[0], again[0]) == (200, 200)
    assert (again[1]["version"], again[1]["changed"]) == (2, False)


async def test_a_wrong_patch_against_another_version_is_a_failed_precondition(
    harness: ServiceHarness,
) -> None:
    status, _ = await harness.send("PATCH", PATH, {"surprise": 1}, '"9"')
    assert status == 412


async def test_a_patch_merges_and_null_removes(harness: ServiceHarness) -> None:
    patch = {
        "campaigns": {"collections": {"limit": 5, "weight": 2}, "sales": {}},
        "pools": {"trunk:carrier-a": None},
        "channels": ["sip", "h323"],
    }
    _, answer = await harness.send("PATCH", PATH, patch)
    campaigns = answer["policy"]["campaigns"]
    assert campaigns == {"collections": {"limit": 5, "weight": 2}, "*": {}, "sales": {}}
    assert list(answer["policy"]["pools"]) == ["agent:*"]


BAD: list[tuple[Any, str, str]] = [
    ({"campaigns": {"collections": {"limt": 5}}}, "campaigns.collections.limt", "did you mean"),
    ({"campaigns": {"collections": {"limit": -1}}}, "campaigns.collections.limit", "at least 0"),
    ({"mpps": {"mpp1": {"spi": 5}}}, "mpps.mpp1.spi", "did you mean sip?"),
    ({"source": "epm"}, "source", "epm is not a configured source, push or static"),
    ({"source": None, "sources": ["static", "x"]}, "sources.1", "x is not a configured source"),
    ({"channels": None}, "channels", "is required"),
    ({"max_call_ms": 5}, "max_call_ms", "must be greater than"),
    ({"surprise": 1}, "surprise", "unknown key"),
    ([], "body", "must be an object"),
    ("x", "body", "must be an object"),
]


@pytest.mark.parametrize(("patch", "field", "message"), BAD)
async def test_a_wrong_policy_is_refused_at_its_place_and_changes_nothing(
    harness: ServiceHarness, patch: Any, field: str, message: str
) -> None:
    async with harness.http.patch(PATH, json=patch) as answer:
        found = await answer.json(content_type="application/problem+json")
    assert answer.status == 422
    assert any(e["field"] == field and message in e["message"] for e in found["errors"]), found
    assert (await harness.get(PATH))["version"] == 1


@pytest.mark.parametrize("body", [[], "x", 7, True])
async def test_a_document_that_is_no_policy_is_refused(harness: ServiceHarness, body: Any) -> None:
    async with harness.http.put(PATH, json=body) as answer:
        found = await answer.json(content_type="application/problem+json")
    assert (answer.status, found["errors"][0]["field"]) == (422, "body")


async def test_a_configured_source_may_be_named(redis_url: str, source: Any) -> None:
    async with serve_service(service_settings(SOURCE + EAST, redis_url)) as harness:
        status, _ = await harness.send("PATCH", PATH, {"source": "epm"})
        gone = dict.fromkeys(("mpps", "capacity", "applications"))
        wrong, problem = await harness.send("PATCH", PATH, {"channels": ["voice"], **gone})
    assert (status, wrong) == (200, 422)
    assert "voice would never have a snapshot" in problem["errors"][0]["message"]


async def test_no_patch_of_many_at_once_gets_lost(harness: ServiceHarness, redis_url: str) -> None:
    async with serve_service(service_settings(EAST, redis_url)) as other:
        changes = [
            (other if n % 2 else harness).send(
                "PATCH", PATH, {"campaigns": {f"c{n}": {"limit": n}}}
            )
            for n in range(6)
        ]
        statuses = [status for status, _ in await asyncio.gather(*changes)]
    campaigns = (await policy(harness))["campaigns"]
    assert statuses == [200] * 6
    assert {f"c{n}": {"limit": n} for n in range(6)}.items() <= campaigns.items()
    assert (await harness.get(PATH))["version"] == 7


async def test_a_patch_that_never_succeeds_is_a_conflict(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change is always faster: bounded tries, then a conflict."""
    ledger, tries = harness.service.components.ledger, []
    store, read = ledger.store_policy, ledger.get_policy

    async def overtaken(zone: str) -> Any:
        found = await read(zone)
        tries.append(found.version)
        await ledger.set_paused(zone, None, len(tries) % 2 == 1)
        return found

    monkeypatch.setattr(ledger, "get_policy", overtaken)
    status, problem = await harness.send("PATCH", PATH, {"shadow": True})
    monkeypatch.undo()
    assert (status, problem["status"]) == (409, 409)
    assert len(tries) >= 8
    assert ledger.store_policy == store
    assert "shadow" not in await policy(harness)


async def test_a_pause_between_is_not_undone_by_a_patch(harness: ServiceHarness) -> None:
    await harness.send("POST", "/v1/zones/East/pools/mpp:mpp1/pause")
    _, answer = await harness.send("PATCH", PATH, {"shadow": True})
    assert list(answer["paused"]) == ["mpp:mpp1"]
    assert (await harness.ask(mpp="mpp1"))["shadow"] is True


async def test_the_status_has_the_version_and_whether_the_file_differs(
    harness: ServiceHarness,
) -> None:
    before = (await harness.get("/v1/zones/East"))["policy"]
    await harness.send("PATCH", PATH, {"shadow": True})
    changed = (await harness.get("/v1/zones/East"))["policy"]
    await harness.send("PATCH", PATH, {"shadow": None})
    back = (await harness.get("/v1/zones/East"))["policy"]

    assert (before["version"], before["differs_from_file"]) == (1, False)
    assert (changed["version"], changed["differs_from_file"]) == (2, True)
    assert (back["version"], back["digest"]) == (3, before["digest"])
    assert back["differs_from_file"] is False


async def test_a_restart_with_an_old_file_does_not_undo_a_change(
    harness: ServiceHarness, redis_url: str
) -> None:
    await harness.send("PATCH", PATH, {"shadow": True})
    async with serve_service(service_settings(EAST, redis_url)) as restarted:
        assert (await policy(restarted))["shadow"] is True


async def test_a_file_with_content_that_was_never_live_is_applied_at_start(
    harness: ServiceHarness, redis_url: str
) -> None:
    text = EAST.replace("limit = 8", "limit = 7")
    async with serve_service(service_settings(text, redis_url)):
        assert (await policy(harness))["campaigns"]["collections"]["limit"] == 7

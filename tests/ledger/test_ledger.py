"""The ledger's typed face on a real Redis: what goes wrong between it and the script."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import redis

from admission import errors
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.domain.types import TemporaryLimit
from admission.ledger import group_commit
from admission.ledger.group_commit import SHARED_UNITS_MAX
from admission.ledger.keys import zone_keys
from admission.ledger.operations import INGEST_GROUPS_MAX
from tests.support.proxy import FaultyProxy
from tests.support.redis_server import RedisServer
from tests.support.typed_ledger import (
    ask,
    get_in_use,
    make_policy,
    open_ledger,
    retry,
    wait_for_recovery,
)


async def test_a_status_has_every_pool_once_however_many_there_are(redis_url: str) -> None:
    trunks = {f"trunk:{n}": {"limit": 5} for n in range(1200)}
    async with open_ledger(redis_url, pools=trunks | {"agent:*": {"limit": 1}}) as ledger:
        await ledger.admit("East", ask(1, pools=["agent:1", "trunk:7"]))
        status = await ledger.get_status("East")

    held = {"channel:sip", "campaign:collections", "agent:1", "trunk:7"}
    assert [one["pool"] for one in status["pools"]] == sorted({*trunks, *held})
    assert {one["pool"] for one in status["pools"] if one["in_use"]} == held
    assert status["stats"]["grant"] == 1
    assert "cursor" not in status


async def test_a_grant_names_public_ids_and_the_zone_s_time(ledger):
    answer = await ledger.admit("East", ask(1, count=2))
    assert answer["decision"] == "grant"
    assert [one["id"] for one in answer["reservations"]] == [
        "East~00000000001",
        "East~00000000001.2",
    ]
    assert answer["now"] <= await ledger.get_time("East")


async def test_sixty_four_concurrent_requests_share_few_script_calls(ledger):
    before = ledger._calls._connection.client
    sizes: list[int] = []
    ledger._group._on_batch = sizes.append
    answers = await asyncio.gather(*(ledger.admit("East", ask(n)) for n in range(64)))
    assert sum(answer["granted"] for answer in answers) == 8
    assert {a["reason"] for a in answers if a["decision"] == "deny"} == {"campaign_limit"}
    assert sum(sizes) == 64
    assert len(sizes) <= 2
    assert ledger._calls._connection.client is before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"campaign": "unknown"}, errors.NotFound),
        ({"pools": ["trunk:z"]}, errors.NotFound),
        ({"channel": "h323"}, errors.Invalid),
        ({"mpp": "mpp9"}, errors.Invalid),
        ({"application": "ivr"}, errors.Invalid),
    ],
)
async def test_a_name_outside_the_policy_is_a_client_error_and_changes_nothing(
    ledger, change, error
):
    with pytest.raises(error):
        await ledger.admit("East", ask(1, **change))
    assert await get_in_use(ledger) == {}


async def test_the_same_request_id_with_another_body_is_a_conflict(ledger):
    await ledger.admit("East", ask(1))
    with pytest.raises(errors.Conflict):
        await ledger.admit("East", ask(1, body="another"))


async def test_flushed_scripts_are_loaded_again(ledger, redis_sync):
    redis_sync.script_flush()
    assert (await ledger.admit("East", ask(1)))["decision"] == "grant"


async def test_a_redis_that_lost_everything_gets_the_policy_back_and_recovers(
    redis_url, redis_sync
):
    async with open_ledger(redis_url, launch_within_ms=500) as ledger:
        await ledger.admit("East", ask(1))
        redis_sync.flushall()
        assert (await ledger.admit("East", ask(2)))["reason"] == "recovering"
        assert (await ledger.get_status("East"))["policy"]["version"] == 1
        await wait_for_recovery(ledger)
        assert (await ledger.admit("East", ask(2)))["decision"] == "grant"


async def test_an_older_policy_in_redis_is_replaced_by_the_newest_that_a_replica_remembers(
    ledger, redis_sync
):
    old = redis_sync.dump(zone_keys("adm", "East")[5])
    await ledger.store_policy("East", make_policy(capacity={"sip": 3}), "apply")
    redis_sync.restore(zone_keys("adm", "East")[5], 0, old, replace=True)
    await ledger.get_time("East")
    pools = {p["pool"]: p for p in (await ledger.get_status("East"))["pools"]}
    assert pools["channel:sip"]["capacity"] == 3
    assert (await ledger.get_status("East"))["policy"]["version"] == 2


async def test_a_file_is_applied_once_and_does_not_undo_a_later_change(ledger):
    assert await ledger.store_policy("East", make_policy(), "file") == (1, False)
    await ledger.store_policy("East", make_policy(capacity={"sip": 3}), "put", expected=1)
    assert await ledger.store_policy("East", make_policy(), "file") == (2, False)
    assert await ledger.store_policy("East", make_policy(), "apply") == (3, True)


async def test_a_policy_put_against_another_version_is_a_conflict(ledger):
    with pytest.raises(errors.Conflict, match="version 1"):
        await ledger.store_policy("East", make_policy(capacity={"sip": 3}), "put", expected=7)


async def test_a_zone_without_policy_is_unavailable_and_never_a_grant(ledger):
    with pytest.raises(errors.Unavailable, match="no policy"):
        await ledger.admit("West", ask(1))


async def test_keys_of_another_schema_are_left_alone(ledger, redis_sync):
    redis_sync.hset(zone_keys("adm", "East")[0], "schema", 99)
    before = {key: redis_sync.dump(key) for key in redis_sync.keys("*")}
    with pytest.raises(errors.Unavailable, match="schema_mismatch"):
        await ledger.admit("East", ask(1))
    assert {key: redis_sync.dump(key) for key in redis_sync.keys("*")} == before


async def test_every_key_of_a_zone_shares_its_hash_tag(ledger, redis_sync):
    await ledger.admit("East", ask(1, pools=["trunk:a"]))
    assert all(key.startswith(b"adm:{East}:") for key in redis_sync.keys("*"))


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_lost_reply_counts_once_however_often_the_script_ran(
    redis_server: RedisServer, redis_sync: redis.Redis, lost: int
):
    """One loss is hidden by the client's silent retry; two are the caller's to repeat."""
    own: Path = redis_server.folder / f"cut-{lost}"
    async with (
        FaultyProxy(redis_server.socket, own, lose_after=b"EVAL") as proxy,
        open_ledger(proxy.url) as ledger,
    ):
        proxy.lose_replies(lost)
        answer = await retry(lambda: ledger.admit("East", ask(1, pools=["trunk:a"])))
        assert answer["granted"] == 1
        assert answer["repeated"] is True
        assert proxy.lost == lost
        assert await get_in_use(ledger) == {
            "campaign:collections": 1,
            "channel:sip": 1,
            "trunk:a": 1,
        }
        proxy.lose_replies(lost)
        end = {"op": "end", "id": "East~00000000001", "outcome": "completed"}
        report = await retry(lambda: ledger.report("East", end))
        assert (report["state"], report["repeated"]) == ("ended", True)
        assert await get_in_use(ledger) == {}


async def test_a_snapshot_whose_reply_was_lost_is_taken_once(redis_server, redis_sync):
    async with (
        FaultyProxy(
            redis_server.socket, redis_server.folder / "cut-snap", lose_after=b"EVAL"
        ) as proxy,
        open_ledger(proxy.url) as ledger,
    ):
        await ledger.store_policy("East", make_policy(source="push"), "apply")
        t0 = await ledger.get_time("East")
        group = SnapshotGroup(total=10, unused={"channel:sip": 4})
        proxy.lose_replies(1)
        assert (await ledger.ingest("East", t0, Snapshot(groups=(group,)))).accepted
        pools = {p["pool"]: p for p in (await ledger.get_status("East"))["pools"]}
        assert pools["channel:sip"]["ceiling"] == 4


async def test_a_redis_that_is_gone_is_unavailable_with_a_retry_time(own_redis):
    async with open_ledger(own_redis.url, launch_within_ms=500) as ledger:
        own_redis.kill()
        with pytest.raises(errors.Unavailable) as caught:
            await ledger.admit("East", ask(1))
        assert caught.value.retry_after_s > 0
        own_redis.start()
        answer = await retry(lambda: ledger.admit("East", ask(1)))
        assert answer["reason"] == "recovering"


async def test_the_answered_call_of_a_batch_counts_although_the_other_failed(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    async with open_ledger(redis_url, capacity={"sip": 2000}, campaigns={"*": {}}) as ledger:
        real, calls = ledger._calls.apply, 0

        async def second_fails(zone: str, ops: list[dict[str, Any]], waited_s: float = 0.0) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise errors.Unavailable("no server")
            return await real(zone, ops, waited_s)

        monkeypatch.setattr(ledger._calls, "apply", second_fails)
        monkeypatch.setattr(group_commit, "UNITS_MAX", SHARED_UNITS_MAX)  # a part in each call
        half = SHARED_UNITS_MAX // 10  # of admissions for 10 launches each
        answers = await ledger.admit_batch("East", [ask(n, count=10) for n in range(2 * half)])
        kinds = [type(one) is errors.Unavailable or one["granted"] for one in answers]  # type: ignore[index]
        assert kinds == [10] * half + [True] * half


async def test_reports_of_a_batch_are_applied_in_order_and_each_fails_by_itself(redis_url: str):
    async with open_ledger(redis_url, capacity={"sip": 5}, campaigns={"*": {}}) as ledger:
        answer = await ledger.admit("East", ask(1))
        known = answer["reservations"][0]["id"]
        end = {"op": "end", "outcome": "completed", "ended_at": None}
        reports = [
            {"op": "renew", "id": known, "adopt": None},
            {"op": "launched", "id": "East~unknown0000", "adopt": None},
            end | {"id": known},
            end | {"id": known},
        ]

        found = await ledger.report_batch("East", reports)

        assert [one if isinstance(one, Exception) else one["state"] for one in found[::2]] == [
            "live",
            "ended",
        ]
        assert isinstance(found[1], errors.NotFound)
        assert isinstance(found[3], dict)
        assert found[3]["repeated"]
        assert await get_in_use(ledger) == {}


async def test_a_snapshot_of_many_pools_is_ingested_in_parts(redis_url: str) -> None:
    async with open_ledger(redis_url, pools={"agent:*": {}}) as ledger:
        names = [f"agent:{n}" for n in range(2 * INGEST_GROUPS_MAX)]
        groups = tuple(SnapshotGroup(total=1, unused={name: 1}) for name in [*names, "no:pool"])
        answer = await ledger.ingest("East", await ledger.get_time("East"), Snapshot(groups=groups))
        shown = {pool["pool"] for pool in (await ledger.get_status("East"))["pools"]}
    assert (answer.accepted, answer.refused) == (False, {"no:pool": "unknown_pool"})
    assert (answer.reason, answer.pool) == ("unknown_pool", "no:pool")
    assert set(names) <= shown


async def test_a_zone_stores_no_more_pools_than_its_bound(redis_url: str) -> None:
    async with open_ledger(redis_url, pools={"agent:*": {}}, max_pools=100) as ledger:
        groups = tuple(SnapshotGroup(total=1, unused={f"agent:{n}": 1}) for n in range(150))
        answer = await ledger.ingest("East", await ledger.get_time("East"), Snapshot(groups=groups))
        assert set(answer.refused.values()) == {"too_many_pools"}
        assert 40 <= len(answer.refused) <= 60
        again = Snapshot(groups=groups[:50])
        assert (await ledger.ingest("East", await ledger.get_time("East"), again)).accepted
        with pytest.raises(errors.Conflict, match="max_pools"):
            await ledger.set_limit("East", TemporaryLimit(pool="agent:new", limit=1, ttl_ms=60_000))
        stored = (await ledger.get_status("East"))["stored"]
    assert stored["pools"] <= stored["max_pools"] + 1

"""Two versions of the service on one Redis, with live reservations: an upgrade without a stop.

The newer one is today's script with an addition, as a next version might have: something more in
the zone's meta, and an operation that the older one does not know.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha1

import pytest
import redis

from admission.config.settings import RedisSettings
from admission.errors import Unavailable
from admission.ledger import scripts
from admission.ledger.keys import zone_keys
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import Script, open_connection
from tests.support.typed_ledger import ask, get_in_use, make_policy, wait_for_recovery

ZONE_KEY = zone_keys("adm", "East")[0]


def changed(old: str, new: str) -> Script:
    """Today's script, with a change."""
    source = scripts.load().source
    assert source.count(old) == 1, old
    source = source.replace(old, new)
    return Script(source=source, sha=sha1(source.encode(), usedforsecurity=False).hexdigest())


def next_version() -> Script:
    write = "flush_modules()\n  unit.commit(encode_meta())"
    return changed(write, f"meta.novelty = (meta.novelty or 0) + 1\n  {write}")


@asynccontextmanager
async def ledger_of(url: str, script: Script | None = None) -> AsyncIterator[Ledger]:
    connection = await open_connection(RedisSettings(url=url))
    ledger = Ledger(connection, script=script)
    yield ledger
    await ledger.close()
    await connection.close()


async def test_both_decide_on_each_other_s_reservations(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    async with ledger_of(redis_url) as old, ledger_of(redis_url, next_version()) as new:
        await old.store_policy("East", make_policy(), "file")
        await wait_for_recovery(old)
        for n, (asked, launched, ended) in enumerate(
            [(old, new, old), (new, old, new), (old, old, new), (new, new, old)]
        ):
            granted = await asked.admit("East", ask(n))
            one = {"id": granted["reservations"][0]["id"]}
            repeated = await ended.admit("East", ask(n))
            assert (repeated["repeated"], repeated["granted"]) == (True, 1)
            report = await launched.report("East", {"op": "launched", "port_taken": True} | one)
            assert report["state"] == "live"
            assert (await get_in_use(old)) == (await get_in_use(new))
            report = await ended.report("East", {"op": "end", "outcome": "completed"} | one)
            assert report["state"] == "ended"
        assert await get_in_use(new) == {}
        await old.get_time("East")
    meta = json.loads(redis_sync.hget(ZONE_KEY, "meta") or b"{}")
    assert meta["novelty"] > 1  # the older version kept what it does not know


async def test_live_reservations_outlive_a_rolling_upgrade_and_its_undoing(redis_url: str) -> None:
    async with ledger_of(redis_url) as old:
        await old.store_policy("East", make_policy(), "file")
        await wait_for_recovery(old)
        first = await old.admit("East", ask(1))
    async with ledger_of(redis_url, next_version()) as new:
        assert (await get_in_use(new))["channel:sip"] == 1
        second = await new.admit("East", ask(2))
        one = {"op": "end", "outcome": "completed", "id": first["reservations"][0]["id"]}
        assert (await new.report("East", one))["state"] == "ended"
    async with ledger_of(redis_url) as old:
        one["id"] = second["reservations"][0]["id"]
        assert (await old.report("East", one))["state"] == "ended"
        assert await get_in_use(old) == {}


async def test_another_schema_is_refused_by_both_sides_and_writes_nothing(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    next_schema = changed("local SCHEMA = 1\n", "local SCHEMA = 2\n")
    async with ledger_of(redis_url) as one, ledger_of(redis_url, next_schema) as two:
        await one.store_policy("East", make_policy(), "file")
        await wait_for_recovery(one)
        await one.admit("East", ask(1))
        await two.store_policy("West", make_policy(), "file")
        before = {key: redis_sync.dump(key) for key in redis_sync.keys("*")}
        for ledger, zone in ((two, "East"), (one, "West")):
            with pytest.raises(Unavailable, match="schema_mismatch"):
                await ledger.admit(zone, ask(2))
            with pytest.raises(Unavailable, match="schema_mismatch"):
                await ledger.store_policy(zone, make_policy(capacity={"sip": 3}), "apply")
        assert {key: redis_sync.dump(key) for key in redis_sync.keys("*")} == before
        assert (await one.admit("East", ask(3)))["decision"] == "grant"


def earlier_version() -> Script:
    """Today's script without the mark that says which version made a call."""
    return changed("encode(meta) .. '\\n' .. ", "encode(meta) .. ")


async def test_ids_are_signed_once_no_replica_of_an_earlier_version_is_left(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    async with ledger_of(redis_url) as new:
        await new.store_policy("East", make_policy(), "file")
        assert (await new.get_keys("East")).signs_ids
        async with ledger_of(redis_url, earlier_version()) as old:
            await old.get_time("East")
        await new.get_time("East")
        assert not (await new.get_keys("East")).signs_ids
        meta = json.loads(redis_sync.hget(ZONE_KEY, "meta") or b"{}")
        ago = meta | {"older_call": meta["older_call"] - 600_001}
        redis_sync.hset(ZONE_KEY, "meta", json.dumps(ago) + "\n")
        await new.get_time("East")
        assert (await new.get_keys("East")).signs_ids

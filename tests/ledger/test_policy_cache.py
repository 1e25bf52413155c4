"""Policy and pauses outlive a Redis that lost them: the highest version any replica saw wins."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from admission import errors
from admission.config.settings import RedisSettings
from admission.ledger.keys import zone_keys
from admission.ledger.ledger import Ledger, LedgerHooks
from admission.ledger.operations import RESTORED_BY, SECRET_BYTES
from admission.ledger.policy_cache import PolicyCache, Secrets, StoredPolicy
from admission.ledger.store.connection import open_connection
from tests.support.typed_ledger import ask, make_policy, wait_for_recovery

POLICY_KEY = zone_keys("adm", "East")[5]


class Replica:
    """A ledger of its own, and the versions of policies that it came to know."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.learnt: list[int] = []
        self.news = asyncio.Event()
        self.calls = 0

    async def __aenter__(self) -> "Replica":
        self.connection = await open_connection(RedisSettings(url=self._url, timeout_ms=10_000))
        statistics = LedgerHooks(on_batch=self._count)
        self.ledger = Ledger(self.connection, statistics=statistics, on_policy=self._learn)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ledger.close()
        await self.connection.close()

    async def until(self, version: int) -> None:
        async with asyncio.timeout(5):
            while version not in self.learnt:
                self.news.clear()
                await self.news.wait()

    def _learn(self, _zone: str, policy: StoredPolicy) -> None:
        self.learnt.append(policy.version)
        self.news.set()

    def _count(self, operations: int) -> None:
        self.calls += operations


@pytest.fixture
async def one(redis_url: str) -> AsyncIterator[Replica]:
    async with Replica(redis_url) as replica:
        await replica.ledger.store_policy("East", make_policy(), "file")
        yield replica


@pytest.fixture
async def two(redis_url: str, one: Replica) -> AsyncIterator[Replica]:
    """Another replica, which knows as much as the first."""
    async with Replica(redis_url) as replica:
        await replica.ledger.get_time("East")
        await replica.until(1)
        yield replica


async def capacity(ledger: Ledger) -> Any:
    pools = {pool["pool"]: pool for pool in (await ledger.get_status("East"))["pools"]}
    return pools["channel:sip"]["capacity"]


async def test_policy_and_pauses_come_back_after_redis_lost_everything(
    one: Replica, redis_sync: redis.Redis
) -> None:
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "put", expected=1)
    paused = await one.ledger.set_paused("East", "trunk:a", True)
    assert (paused["version"], paused["changed"]) == (3, True)
    since = (await one.ledger.get_status("East"))["paused"]
    redis_sync.flushall()

    status = await one.ledger.get_status("East")

    assert (status["policy"]["version"], status["paused"]) == (3, since)
    assert await capacity(one.ledger) == 3
    await wait_for_recovery(one.ledger)
    assert (await one.ledger.admit("East", ask(1, pools=["trunk:a"])))["reason"] == "pool_paused"


async def test_a_file_that_was_applied_before_the_loss_is_not_applied_after_it(
    one: Replica, redis_sync: redis.Redis
) -> None:
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "put", expected=1)
    redis_sync.flushall()
    await one.ledger.get_time("East")

    assert await one.ledger.store_policy("East", make_policy(), "file") == (2, False)


async def test_another_replica_s_change_is_learnt_in_the_background_once(
    one: Replica, two: Replica
) -> None:
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "apply")
    before = two.calls

    await asyncio.gather(*(two.ledger.get_time("East") for _ in range(50)))
    await two.until(2)
    await asyncio.gather(*(two.ledger.get_time("East") for _ in range(50)))

    assert two.learnt == [1, 2]
    assert two.calls - before == 101


async def test_an_answer_does_not_wait_for_the_fetch_of_a_policy(
    one: Replica, two: Replica
) -> None:
    await one.ledger.set_paused("East", None, True)

    await two.ledger.get_time("East")

    assert two.learnt == [1]
    await two.until(2)


async def test_the_higher_of_two_remembered_versions_wins(
    one: Replica, two: Replica, redis_sync: redis.Redis
) -> None:
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "apply")
    await one.ledger.set_paused("East", None, True)
    redis_sync.flushall()

    assert await capacity(two.ledger) == 10  # the second saw no more than the first version
    assert await capacity(one.ledger) in (3, 10)
    await one.ledger.get_time("East")
    status = await two.ledger.get_status("East")

    assert status["policy"]["version"] == 3
    assert list(status["paused"]) == ["zone"]
    assert await capacity(two.ledger) == 3
    await two.until(3)


async def test_a_loss_before_the_first_link_leaves_no_empty_secret(
    one: Replica, redis_sync: redis.Redis
) -> None:
    redis_sync.flushall()
    await one.ledger.get_time("East")

    assert len((await one.ledger.get_keys("East")).current) >= SECRET_BYTES


async def test_a_replica_that_signed_nothing_yet_brings_the_secret_back(
    one: Replica, two: Replica, redis_sync: redis.Redis
) -> None:
    keys = await one.ledger.get_keys("East")
    redis_sync.flushall()
    await two.ledger.get_time("East")

    assert await two.ledger.get_keys("East") == keys
    assert await two.ledger.get_keys("East", refresh=True) == keys


async def test_a_new_key_reaches_every_replica_and_outlives_a_loss_with_the_one_before_it(
    one: Replica, two: Replica, redis_sync: redis.Redis
) -> None:
    before = await one.ledger.get_keys("East")
    rotated = await one.ledger.rotate_keys("East", keep_ms=60_000, by="ann")
    await two.ledger.get_time("East")
    await two.until(rotated["version"])
    redis_sync.flushall()
    await two.ledger.get_time("East")

    for replica in (one, two):
        keys = await replica.ledger.get_keys("East", refresh=True)
        assert (keys.current != before.current, keys.former) == (True, (before.current,))


async def test_another_policy_keeps_the_former_keys(one: Replica) -> None:
    before = await one.ledger.get_keys("East")
    await one.ledger.rotate_keys("East", keep_ms=60_000)
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "apply")

    assert (await one.ledger.get_keys("East", refresh=True)).former == (before.current,)


async def test_keys_before_a_leak_are_not_accepted_any_more(one: Replica) -> None:
    await one.ledger.rotate_keys("East", keep_ms=60_000)
    await one.ledger.rotate_keys("East", keep_ms=0)

    assert (await one.ledger.get_keys("East")).former == ()
    assert (await one.ledger.get_keys("East", refresh=True)).former == ()


async def test_a_former_key_is_accepted_until_its_time(one: Replica) -> None:
    stored = Secrets(current="new", former=(("old", 1000),))

    assert stored.at(999, signs_ids=True).former == (b"old",)
    assert stored.at(1000, signs_ids=True).former == ()


async def test_a_restored_policy_is_in_the_audit(one: Replica, redis_sync: redis.Redis) -> None:
    redis_sync.flushall()
    await one.ledger.get_time("East")

    entries = (await one.ledger.list_audit_entries("East", 10))["entries"]

    assert RESTORED_BY in [entry["actor"] for entry in entries]


@pytest.mark.parametrize("lost", ["everything", "the newest"])
async def test_a_change_right_after_a_loss_follows_the_lost_version(
    one: Replica, redis_sync: redis.Redis, lost: str
) -> None:
    old = redis_sync.dump(POLICY_KEY)
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "put", expected=1)
    redis_sync.flushall() if lost == "everything" else redis_sync.restore(
        POLICY_KEY, 0, old, replace=True
    )

    answer = await one.ledger.set_paused("East", "campaign:collections", True)

    assert answer["version"] == 3
    assert await capacity(one.ledger) == 3
    assert list((await one.ledger.get_status("East"))["paused"]) == ["campaign:collections"]


async def test_a_policy_put_right_after_a_loss_is_compared_with_the_lost_version(
    one: Replica, redis_sync: redis.Redis
) -> None:
    await one.ledger.store_policy("East", make_policy(capacity={"sip": 3}), "put", expected=1)
    redis_sync.flushall()

    with pytest.raises(errors.Conflict, match="version 2"):
        await one.ledger.store_policy("East", make_policy(capacity={"sip": 4}), "put", expected=1)
    redis_sync.flushall()
    changed = await one.ledger.store_policy(
        "East", make_policy(capacity={"sip": 4}), "put", expected=2
    )

    assert changed == (3, True)
    assert await capacity(one.ledger) == 4


SLOW_MS = 60_000
SLOW = {"claim_within_ms": SLOW_MS}


async def recovery_ms(ledger: Ledger) -> int:
    status = await ledger.get_status("East")
    return int(status["recover_until"]) - int(status["recovered_from"])


@pytest.mark.parametrize("changes", [[], [{"capacity": {"sip": 3}}, {"capacity": {"sip": 4}}]])
async def test_calls_of_policies_that_were_replaced_are_waited_for_after_a_loss(
    one: Replica, redis_sync: redis.Redis, changes: list[dict[str, Any]]
) -> None:
    for policy in (SLOW, {}, *changes):
        await one.ledger.store_policy("East", make_policy(**policy), "apply")
    for _ in range(2):
        redis_sync.flushall()
        assert await recovery_ms(one.ledger) > SLOW_MS


@pytest.mark.parametrize("last", [SLOW, {"capacity": {"sip": 3}}])
async def test_a_faster_replica_with_an_older_policy_does_not_shorten_the_recovery(
    one: Replica, two: Replica, redis_sync: redis.Redis, last: dict[str, Any]
) -> None:
    for policy in (SLOW, {}, last):
        await one.ledger.store_policy("East", make_policy(**policy), "apply")
    redis_sync.flushall()
    assert await recovery_ms(two.ledger) < SLOW_MS

    await one.ledger.get_time("East")

    assert await recovery_ms(one.ledger) > SLOW_MS


async def test_a_change_of_the_source_starts_another_recovery(redis_url: str) -> None:
    """Snapshots of another platform zone do not contain the calls that are up."""
    fed = {"source": "push", "source_zone": "a"}
    async with Replica(redis_url) as replica:
        ledger = replica.ledger
        await ledger.store_policy("East", make_policy(**fed), "file")
        await wait_for_recovery(ledger)
        before = (await ledger.get_status("East"))["recovered_from"]
        await ledger.store_policy("East", make_policy(**fed, shadow=True), "apply")
        assert (await ledger.get_status("East"))["recovered_from"] == before

        await ledger.store_policy("East", make_policy(**fed | {"source_zone": "b"}), "apply")

        status = await ledger.get_status("East")
        assert status["recovered_from"] > before or status["recovering"]


async def test_a_fetch_that_fails_is_tried_again_with_the_next_answer() -> None:
    policy, faults = StoredPolicy(version=2, digest="", fields={}, source="{}"), [True, False]

    async def fetch(_zone: str) -> StoredPolicy:
        if faults.pop(0):
            raise errors.Unavailable("away")
        return policy

    cache = PolicyCache(fetch)
    cache.saw("East", 2)
    await cache.learn("East", 2)

    assert cache.newest("East") is policy
    await cache.close()


class Fetched:
    """Versions that were asked for; answers when the test opens the gate."""

    def __init__(self, version: int) -> None:
        self.policy = StoredPolicy(version=version, digest="", fields={}, source="{}")
        self.times = 0
        self.gate = asyncio.Event()

    async def fetch(self, _zone: str) -> StoredPolicy:
        self.times += 1
        await self.gate.wait()
        return self.policy


async def test_a_known_policy_is_reported_once_and_not_fetched() -> None:
    redis = Fetched(2)
    reported: list[StoredPolicy] = []
    cache = PolicyCache(redis.fetch, lambda _zone, policy: reported.append(policy))
    cache.keep("East", redis.policy)
    cache.keep("East", redis.policy)

    cache.saw("East", 2)
    async with asyncio.timeout(5):
        await cache.learn("East", 2)

    assert (redis.times, reported) == (0, [redis.policy])


async def test_close_does_not_wait_for_a_fetch() -> None:
    redis = Fetched(2)
    cache = PolicyCache(redis.fetch)
    cache.saw("East", 2)
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await cache.close()

    assert (redis.times, cache.newest("East")) == (1, None)

"""A recount runs in slices between other calls, and its counts are right whatever those do."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from admission.ledger import scripts
from tests.ledger.test_unit_of_work import ADOPT
from tests.support.busy_zone import (
    FIELDS,
    KEYS,
    START_MS,
    BusyZone,
    admit,
    end,
    launched,
    snapshot,
    wait,
)
from tests.support.faulty_redis import FaultyScript
from tests.support.lua_mutations import LuaMutation
from tests.support.rule_zone import LAG_MS
from tests.support.zone_state import check_counts, check_pending

PREFIX: Final = "uow:{east}:"
LATE_MS: Final = START_MS + 90_000  # later than any launch of the zone
CLAIM_MS: Final = FIELDS["zone"]["claim_max"]
SLICES: Final = (1, 3, 7)
CALLS_MAX: Final = 2000  # of a recount of a few records, one entry in a call
TIME: Final = {"op": "time"}
RECOUNT: Final = {"op": "recount"}


def replace(source: str, old: str, new: str) -> str:
    """The source with one place changed."""
    assert source.count(old) == 1, old
    return source.replace(old, new)


def in_slices(entries: int, source: str | None = None) -> str:
    """The script with slices of so many entries, without a pause between them."""
    source = source or scripts.load("test").source
    source = replace(source, "local SLICE = 400 ", f"local SLICE = {entries} ")
    return replace(source, "local PAUSE_MS = 20 ", "local PAUSE_MS = 0 ")


class Recounted:
    """A busy zone whose recounts take many calls."""

    def __init__(self, client: redis.Redis, entries: int, source: str | None = None) -> None:
        self.client = client
        self.zone = BusyZone(client, source)
        self.zone.script = FaultyScript(client, KEYS, in_slices(entries, source))
        self.now = START_MS + 2400
        self.finish()

    def call(self, *ops: dict[str, Any], after_ms: int = 1) -> list[dict[str, Any]]:
        """Apply operations."""
        self.now += after_ms
        reply = self.zone.script.call(list(ops), self.now)
        assert "error" not in reply, reply
        assert all((one or {}).get("error") != "internal" for one in reply["results"]), reply
        return list(reply["results"])

    def meta(self) -> dict[str, Any]:
        """The stored state of the zone."""
        found: dict[str, Any] = json.loads(self.client.hget(f"{PREFIX}zone", "meta"))
        return found

    def make_due(self) -> None:
        """A recount begins with the next call, as at intervals: grants go on."""
        meta = self.meta() | {"recount": True}
        self.client.hset(f"{PREFIX}zone", "meta", json.dumps(meta))

    def is_recounting(self) -> bool:
        """Whether a recount is wanted or under way."""
        meta = self.meta()
        return bool(meta.get("recount") or meta.get("recounting"))

    def finish(self) -> None:
        """Call until no recount is under way."""
        for _ in range(CALLS_MAX):
            if not self.is_recounting():
                return
            self.call(TIME, after_ms=0)
        raise AssertionError("the recount does not end")

    def check_pending(self) -> None:
        """Assert that entries of lost calls count no longer than a launch may take."""
        check_pending(self.zone.state.read(), lost_until=self.now + CLAIM_MS)

    def status(self) -> list[dict[str, Any]]:
        """The pools of the zone."""
        pools: list[dict[str, Any]] = self.call({"op": "status"}, after_ms=0)[0]["pools"]
        return pools

    def corrected(self) -> int:
        """How many counts were corrected."""
        return int(self.client.hget(f"{PREFIX}stats", "recounted") or 0)


def damage_pool(client: redis.Redis, in_use: int) -> None:
    pool = json.loads(client.hget(f"{PREFIX}pools", "trunk:x") or b"{}")
    client.hset(f"{PREFIX}pools", "trunk:x", json.dumps(pool | {"in_use": in_use}))


def add_pending(client: redis.Redis, *ids: str) -> None:
    """Entries that lower what is held in a pool."""
    client.zadd(f"{PREFIX}pend:channel:sip", {one: LATE_MS + n // 3 for n, one in enumerate(ids)})


Damage = Callable[[redis.Redis], object]
PENDING: Final[dict[str, Damage]] = {
    "pending entries without a record": lambda client: add_pending(
        client, *(f"gone{n}" for n in range(9))
    ),
    "a pending entry of a call elsewhere": lambda client: add_pending(client, "v1"),
    "a pending entry of a call that ended": lambda client: add_pending(client, "z1.2"),
    "a pending entry at a wrong time": lambda client: add_pending(client, "y1"),
}
DAMAGES: Final[dict[str, Damage]] = {
    "a count": lambda client: damage_pool(client, 9),
    "a count too low": lambda client: damage_pool(client, 0),
    "no pool": lambda client: client.hdel(f"{PREFIX}pools", "campaign:a", "trunk:x"),
    "another pool": lambda client: client.hset(f"{PREFIX}pools", "trunk:y", '{"in_use":2}'),
    "a share": lambda client: client.hset(f"{PREFIX}shares", "trunk:x a", "7"),
    "no share": lambda client: client.hdel(f"{PREFIX}shares", "trunk:x a"),
    "another share": lambda client: client.hset(f"{PREFIX}shares", "trunk:y a", "1"),
    "no deadline": lambda client: client.zrem(f"{PREFIX}due", "x1", "y1"),
    "a deadline without a record": lambda client: client.zadd(f"{PREFIX}due", {"gone": 9e14}),
    "no record": lambda client: client.hdel(f"{PREFIX}res", "x2"),
    "an unreadable record": lambda client: client.hset(f"{PREFIX}res", "x2", "?"),
    "a request without records": lambda client: client.hset(
        f"{PREFIX}req", "a/lost", f"lost b 1 1  {START_MS} 2000 sip  20000"
    ),
    "no pending entry": lambda client: client.zrem(f"{PREFIX}pend:channel:sip", "y1"),
    **PENDING,
}


# Damages after which pending entries of calls without a record stay for a while.
LOST: Final = ("no record", "an unreadable record", "pending entries without a record")


@pytest.mark.parametrize("entries", SLICES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_difference_is_corrected(damage: str, entries: int, redis_sync: redis.Redis) -> None:
    recounted = Recounted(redis_sync, entries)
    before, pending = recounted.corrected(), redis_sync.zcard(f"{PREFIX}pend:channel:sip")
    DAMAGES[damage](redis_sync)
    recounted.call(RECOUNT)
    recounted.finish()
    content = recounted.zone.state.read()
    check_counts(content)
    recounted.check_pending()
    assert content["due"].keys() - {b""} == content["res"].keys() - {b""}
    if damage not in LOST:
        assert redis_sync.zcard(f"{PREFIX}pend:channel:sip") == pending
    assert recounted.corrected() > before
    recounted.call(RECOUNT)
    before = recounted.corrected()
    recounted.finish()
    assert recounted.corrected() == before  # nothing is left to correct


def test_corrections_have_entries_in_the_audit_log(redis_sync: redis.Redis) -> None:
    recounted = Recounted(redis_sync, 100)
    damage_pool(redis_sync, 9)
    recounted.call(RECOUNT)
    recounted.finish()
    (newest, *_) = recounted.call({"op": "audit", "limit": 5})[0]["entries"]
    shown = {name: newest[name] for name in ("by", "did", "on", "detail")}
    assert shown == {
        "by": "ledger",
        "did": "recount",
        "on": "pool trunk:x",
        "detail": {"from": 9, "to": 3},
    }


def check_doubt(client: redis.Redis, source: str | None = None) -> None:
    """Nothing is granted while counts may be too low."""
    recounted = Recounted(client, 3, source)
    damage_pool(client, 0)
    recounted.call(RECOUNT)
    for n in range(CALLS_MAX):
        if not recounted.is_recounting():
            break
        (answer,) = recounted.call(admit(f"early{n}", "b"), after_ms=0)
        is_over = not recounted.is_recounting()
        assert (answer.get("reason") == "recovering") != is_over, answer
    assert answer["reason"] == "pool_full"  # trunk:x has 3 units, as the records say


def check_one_moment(client: redis.Redis, source: str | None = None) -> None:
    """Many deadlines of one moment."""
    for ended in ("m1", "x1", "z1"):
        recounted = Recounted(client, 2, source)
        members = client.zrange(f"{PREFIX}due", 0, -2)
        client.zadd(f"{PREFIX}due", dict.fromkeys(members, START_MS + 90_000))
        damage_pool(client, 9)
        recounted.call(RECOUNT)
        while recounted.is_recounting() and "score" not in recounted.meta().get("recounting", {}):
            recounted.call(TIME, after_ms=0)
        recounted.call(end(ended), after_ms=0)
        recounted.finish()
        check_counts(recounted.zone.state.read())
        assert recounted.corrected() == 1


def check_doubt_within_a_recount(client: redis.Redis, source: str | None = None) -> None:
    """Doubt that arises during a recount outlives it."""
    recounted = Recounted(client, 3, source)
    recounted.call(RECOUNT)
    recounted.call(TIME, after_ms=0)
    recounted.call(RECOUNT, after_ms=0)
    while "recounting" in recounted.meta():
        recounted.call(TIME, after_ms=0)
        if recounted.meta().get("recount"):
            assert recounted.meta().get("in_doubt")
    recounted.finish()
    assert "in_doubt" not in recounted.meta()


def check_pending_entries(client: redis.Redis, source: str | None = None) -> None:
    """What no reservation accounts for goes at once, and what a lost one accounts for in time."""
    for damage in PENDING.values():
        recounted = Recounted(client, 2, source)
        damage(client)
        recounted.call(RECOUNT)
        recounted.finish()
        recounted.check_pending()
        recounted.call(TIME, after_ms=CLAIM_MS + LAG_MS + 1)
        recounted.call(snapshot(recounted.now))
        check_pending(recounted.zone.state.read())


def check_lost_call(client: redis.Redis, source: str | None = None) -> None:
    """The call of a lost record may take its port: the next snapshot's ceiling spares that one."""
    recounted = Recounted(client, 2, source)
    client.hdel(f"{PREFIX}res", "x2")
    recounted.call(RECOUNT)
    recounted.finish()
    recounted.call(snapshot(recounted.now, 8), after_ms=0)
    (pool,) = (one for one in recounted.status() if one["pool"] == "channel:sip")
    assert pool["in_use"] == pool["pending"] - 1
    assert pool["ceiling"] == 8 - 1


def check_doubt_within_a_call(client: redis.Redis, source: str | None = None) -> None:
    """A pool that cannot be read ends what earlier requests of the call have passed."""
    recounted = Recounted(client, 400, source)
    client.hset(f"{PREFIX}pools", "trunk:x", "{")
    answers = recounted.call(admit("n1", "d"), admit("n2", "d"), admit("n3", "b"), admit("n4", "d"))
    given = [answer.get("reason", answer["decision"]) for answer in answers]
    assert given == ["grant", "grant", "recovering", "recovering"]


def make_version_without_pending() -> str:
    """A script that does not know the phase of pending entries."""
    source = scripts.load("test").source
    source = replace(source, "return state.pending and 'pending' or", "return")
    source = replace(source, "  if state.pending then return false end\n", "")
    return replace(source, "else state.pending = {} end", "else return false end")


def test_a_version_without_the_phase_of_pending_entries_ends_the_recount(
    redis_sync: redis.Redis,
) -> None:
    recounted = Recounted(redis_sync, 3)
    older = FaultyScript(redis_sync, KEYS, in_slices(3, make_version_without_pending()))
    PENDING["pending entries without a record"](redis_sync)
    recounted.call(RECOUNT)
    while "pending" not in recounted.meta().get("recounting", {}):
        recounted.call(TIME, after_ms=0)
    for _ in range(CALLS_MAX):
        assert "error" not in older.call([TIME], recounted.now)
        if not recounted.is_recounting():
            break
    check_counts(recounted.zone.state.read())
    recounted.call(RECOUNT)
    recounted.finish()
    recounted.check_pending()


def make_older_version() -> str:
    """A script that takes no part in recounts, as one without the tally."""
    source = scripts.load("test").source
    source = replace(source, "local tally = meta.recounting and need('tally')", "local tally")
    source = replace(source, "if meta.recounting then need('tally').add(id) end", "")
    source = replace(source, "(meta.recounting and ' ' or '')", "''")
    return replace(
        source,
        "if meta.recount or meta.recounting or now >= (meta.recount_at or 0) then",
        "if nil then",
    )


def check_older_version(client: redis.Redis, source: str | None = None) -> None:
    """A version without the tally grants between the slices."""
    recounted = Recounted(client, 3, source)
    older = FaultyScript(client, KEYS, make_older_version())
    corrected = recounted.corrected()
    recounted.call(RECOUNT)
    while not client.hlen(f"{PREFIX}recount"):  # records were visited
        recounted.call(TIME, after_ms=0)
    older.call([end("x1"), launched("x2"), end("m1")], recounted.now)
    recounted.finish()
    check_counts(recounted.zone.state.read())
    assert recounted.corrected() == corrected


def check_grant_after_the_records(client: redis.Redis, source: str | None = None) -> None:
    """A grant after every record was visited."""
    recounted = Recounted(client, 1, source)
    recounted.make_due()
    recounted.call(TIME, after_ms=0)
    while "is_all" not in recounted.meta()["recounting"]:
        recounted.call(TIME, after_ms=0)
    (answer,) = recounted.call(admit("new", "d", channel="h323"), after_ms=0)
    assert answer["decision"] == "grant"
    recounted.finish()
    check_counts(recounted.zone.state.read())
    assert recounted.corrected() == 0


def check_other_calls(client: redis.Redis, source: str | None = None) -> None:
    """Any calls between the slices, and damage between recounts."""
    attributes = {"client": client, "source": source}
    run_state_machine_as_test(
        seed(1)(type("OnServer", (RecountMachine,), attributes)), settings=QUICK
    )


def test_a_call_examines_a_slice_of_a_large_zone(redis_sync: redis.Redis) -> None:
    recounted, records, entries = Recounted(redis_sync, 50), 600, 50
    for n in range(records // 100):
        recounted.call(*(end(f"gone{n}.{i}") for i in range(100)), after_ms=0)
    calls = 0
    recounted.call(RECOUNT)
    while recounted.is_recounting():
        recounted.call(TIME, after_ms=0)
        calls += 1
    # Each record is examined by itself and by its deadline; a scan may return more than its count.
    assert calls >= 2 * records // (2 * entries)
    check_counts(recounted.zone.state.read())


class RecountMachine(RuleBasedStateMachine):
    """Operations between the slices of recounts, and damage by hand between recounts."""

    client: redis.Redis
    source: str | None = None

    @initialize(entries=st.sampled_from(SLICES))
    def begin(self, entries: int) -> None:
        self.recounted = Recounted(self.client, entries, self.source)
        self.is_damaged = False
        self.corrected = self.recounted.corrected()

    @rule(
        name=st.integers(0, 12),
        campaign=st.sampled_from("abc"),
        how=st.sampled_from(["plain", "two", "wait", "mpp", "h323"]),
    )
    def admit(self, name: int, campaign: str, how: str) -> None:
        more: dict[str, Any] = {"two": {"count": 2}, "mpp": {"mpp": "m1"}, "h323": {"channel": how}}
        make = wait if how == "wait" else admit
        self.recounted.call(make(f"n{name}", campaign, **more.get(how, {})))

    @rule(
        name=st.sampled_from(["x1", "x2", "y1", "m1", "v1", *(f"n{n}" for n in range(13))]),
        verb=st.sampled_from(["end", "unknown", "launched", "moved", "renew", "adopt"]),
    )
    def report(self, name: str, verb: str) -> None:
        op = {
            "end": end(name),
            "unknown": end(name, "unknown"),
            "launched": launched(name),
            "moved": launched(name, mpp="m2"),
            "renew": {"op": "renew", "id": name},
            "adopt": launched(name, adopt=ADOPT),
        }[verb]
        self.recounted.call(op)

    @rule(after_ms=st.sampled_from([1, 600, 5000, 25_000]))
    def pass_time(self, after_ms: int) -> None:
        self.recounted.call(TIME, after_ms=after_ms)

    @rule(unused=st.integers(0, 12))
    def ingest(self, unused: int) -> None:
        self.recounted.call(snapshot(self.recounted.now, unused))

    @rule(in_doubt=st.booleans())
    def recount(self, in_doubt: bool) -> None:
        if self.recounted.is_recounting():
            return
        if in_doubt:
            self.recounted.call(RECOUNT)
        else:
            self.recounted.make_due()

    @rule(calls=st.integers(1, 20))
    def idle(self, calls: int) -> None:
        for _ in range(calls):
            self.recounted.call(TIME, after_ms=0)

    @rule(damage=st.sampled_from(sorted(DAMAGES)))
    def damage(self, damage: str) -> None:
        if self.recounted.is_recounting():
            return
        DAMAGES[damage](self.client)
        self.is_damaged = True
        self.recounted.call(RECOUNT)

    @invariant()
    def counts_are_right_unless_damaged(self) -> None:
        if not hasattr(self, "recounted"):
            return
        if self.is_damaged and not self.recounted.is_recounting():
            self.is_damaged = False
            self.corrected = self.recounted.corrected()
        if not self.is_damaged:
            check_counts(self.recounted.zone.state.read())
            self.recounted.check_pending()
            assert self.recounted.corrected() == self.corrected, "a right count was changed"

    def teardown(self) -> None:
        """Let the last recount end."""
        if hasattr(self, "recounted"):
            self.recounted.finish()
            self.is_damaged = False
            check_counts(self.recounted.zone.state.read())
            self.recounted.check_pending()


QUICK: Final = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking would take minutes
    database=None,
)


CHECKS: Final = (
    check_doubt,
    check_doubt_within_a_recount,
    check_doubt_within_a_call,
    check_one_moment,
    check_older_version,
    check_pending_entries,
    check_lost_call,
    check_grant_after_the_records,
    check_other_calls,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_recount(check: Callable[[redis.Redis], None], redis_sync: redis.Redis) -> None:
    check(redis_sync)


MUTATIONS: Final = (
    LuaMutation(name="any id was visited", tag="tally-order-of-ids", becomes="return true"),
    LuaMutation(name="no id was visited", tag="tally-order-of-ids", becomes="return false"),
    LuaMutation(
        name="a change is counted twice",
        tag="tally-before-change",
        becomes="function tally.remove() end",
    ),
    LuaMutation(
        name="a change is not counted", tag="tally-after-change", becomes="function tally.add() end"
    ),
    LuaMutation(name="a new record is not counted", tag="tally-new-record"),
    LuaMutation(name="an earlier recount settles a later doubt", tag="doubt-outlives-recount"),
    LuaMutation(
        name="doubt denies nothing", tag="doubt-denies", becomes="local is_sure = now >= until_then"
    ),
    LuaMutation(name="requests pass on what passed before a doubt", tag="doubt-ends-passes"),
    LuaMutation(name="doubt for ever", tag="recount-settles-doubt"),
    LuaMutation(name="an older version goes unnoticed", tag="recount-by-older-version"),
    LuaMutation(
        name="pending entries are not examined",
        tag="recount-of-pending",
        becomes="if state.phase == #IN_ORDER then return false end state.phase = state.phase + 1",
    ),
    LuaMutation(
        name="a pending entry of a call that ended stays",
        tag="pending-of-reservation",
        becomes="local occupies = contains(record.pools, pool.name)",
    ),
    LuaMutation(
        name="a pending entry of a call elsewhere stays",
        tag="pending-of-reservation",
        becomes="local occupies = tally.occupies(record)",
    ),
    LuaMutation(
        name="a pending entry without a record stays",
        tag="pending-of-lost-call",
        becomes="if not record then return found end",
    ),
    LuaMutation(
        name="no port is spared for a lost call",
        tag="pending-of-lost-call",
        becomes="if not record then return nil end",
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_recount_is_seen(mutation: LuaMutation, redis_sync: redis.Redis) -> None:
    def fails(check: Callable[[redis.Redis, str], None]) -> bool:
        try:
            check(redis_sync, mutation.script().source)
        except AssertionError:
            return True
        return False

    assert any(fails(check) for check in CHECKS)

"""From the observations of an ingest to what is stored: the service's part of learned ceilings."""

import asyncio
import json
import re
from typing import Any

import pytest
import redis

from admission.domain import Snapshot
from admission.domain.snapshots import SnapshotGroup
from admission.estimator import Parameters, State
from admission.estimator.parameters import BIN_MS, BINS, ENDS_BINS
from admission.ledger import learning
from admission.ledger.keys import zone_keys
from admission.ledger.scripts import read_module
from tests.support.rule_zone import policy
from tests.support.typed_ledger import open_ledger
from tests.support.virtual_zone import Answer, VirtualZone

SIP = "channel:sip"


class Learning(VirtualZone):
    """A zone of 20 ports whose snapshots are learned from."""

    def __init__(self, client: redis.Redis, **changes: Any) -> None:
        fields = policy({"channels": ["sip"], "fed": ["sip"], "any": ["sip"], **changes})
        super().__init__(client, fields)
        self.advance(4000)

    def ingest(self, unused: int = 20) -> Answer:
        group = {"total": 20, "unused": {SIP: unused}}
        return self.one("ingest", t0=self.now_ms, groups=[group])

    def learn(self, unused: int = 20) -> Answer:
        """Ingest a snapshot and learn from it."""
        op = learning.build_learn(self.ingest(unused)["observations"])
        assert op
        return self.one(op)

    def pool(self) -> Answer:
        (pool,) = (one for one in self.one("status")["pools"] if one["pool"] == SIP)
        return dict(pool)

    def grant(self, n: int) -> None:
        op = {"op": "admit", "id": f"{n:011d}", "request_id": f"r{n}", "campaign": "a"}
        answer = self.one(op, channel="sip", count=1, min_count=1, body="b", owner="o")
        assert answer["decision"] == "grant"


def seconds(zone: Learning, count: int) -> None:
    for _ in range(count):
        zone.advance(1000)
        assert zone.learn()["learned"] == [SIP]


def test_bins_are_those_of_the_estimator() -> None:
    (line,) = re.findall(r"local BIN_MS, BINS, ENDS_BINS, .* = (.*)", read_module("state/age_bins"))
    assert [int(n) for n in line.split(", ")][:3] == [BIN_MS, BINS, ENDS_BINS]


def test_what_was_learned_is_trusted_after_some_snapshots(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync, ceilings="learned")
    seconds(zone, 4)
    assert zone.pool()["learned"]["fallback"] == "cold"
    seconds(zone, 4)
    learned = zone.pool()["learned"]
    assert learned["in_force"]
    assert learned["ceiling"] == zone.pool()["limit"] == 20


def test_without_the_next_snapshot_the_proved_ceiling_takes_over(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync, ceilings="learned")
    seconds(zone, 8)
    zone.advance(3500)
    assert zone.pool()["learned"]["fallback"] == "stale"
    before = zone.one("status")["stats"].get("fallback:stale", 0)
    zone.learn()
    assert zone.one("status")["stats"]["fallback:stale"] == before + 1
    assert zone.pool()["learned"]["in_force"]


def test_a_result_that_is_stored_twice_counts_once(redis_sync: redis.Redis) -> None:
    """The reply was lost, so the replica repeats the operation."""
    zone = Learning(redis_sync)
    op = learning.build_learn(zone.ingest()["observations"])
    assert op
    assert zone.one(op)["learned"] == [SIP]
    before = zone.pool()
    assert zone.one(op)["refused"] == {SIP: "overtaken"}
    assert zone.pool() == before


def test_a_repeated_snapshot_is_not_observed_again(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    assert zone.ingest()["observations"]
    again = zone.ingest()
    assert again["accepted"]
    assert "observations" not in again


def test_another_replica_goes_on_from_what_was_stored(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    seconds(zone, 3)
    zone.advance(1000)
    seen = zone.ingest()["observations"][SIP]
    state = State.load(seen["state"])
    assert state
    assert (state.snapshots, seen["after"]) == (3, state.t0)


def test_a_snapshot_soon_after_the_last_one_teaches_nothing(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    seconds(zone, 2)
    zone.advance(700)
    assert learning.build_learn(zone.ingest()["observations"]) is None
    zone.advance(200)
    assert zone.learn()["learned"] == [SIP]


def test_a_state_that_cannot_be_read_begins_anew(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    seconds(zone, 3)
    zone.advance(1000)
    observations = zone.ingest()["observations"]
    observations[SIP]["state"] = json.dumps({"v": "of a later version"})
    op = learning.build_learn(observations)
    assert op
    assert zone.one(op)["learned"] == [SIP]
    state = State.load(op["pools"][SIP]["state"])
    assert state
    assert state.snapshots == 1


@pytest.mark.parametrize("change", [{"unused": None}, {"bins": {"gx": "1"}}, {"total": "many"}])
def test_an_observation_that_cannot_be_learned_from_is_left_out(
    change: Answer, redis_sync: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    observations = Learning(redis_sync).ingest()["observations"]
    observations[SIP] |= change
    assert learning.build_learn(observations) is None
    assert "no ceiling was learned" in caplog.text


def test_a_smaller_target_leaves_more_ports(redis_sync: redis.Redis) -> None:
    ceilings = []
    for target in (0.1, 1e-6):
        redis_sync.flushall()
        zone = Learning(redis_sync, overlaunch_target=target)
        for second in range(40):
            zone.advance(1000)
            zone.learn(10 + second % 3)
        ceilings.append(zone.pool()["learned"]["ceiling"])
    assert ceilings[0] > ceilings[1]


def test_calls_of_the_ledger_reach_the_estimator(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    zone.learn()
    for n in range(3):
        zone.grant(n)
    zone.advance(300)
    zone.one("launched", id=f"{0:011d}")
    zone.one("end", id=f"{1:011d}", outcome="busy", ended_at=zone.now_ms)
    zone.advance(200)
    seen = learning.read_observation(zone.ingest()["observations"][SIP])
    newest = seen.t1 // BIN_MS
    assert (seen.granted, seen.launched) == ({newest - 5: 1}, {newest - 2: 1})
    assert (seen.ended_granted, seen.ended_launched) == ({newest - 2: [newest - 5]}, {})
    assert (seen.counters.reports, seen.counters.report_delay_ms) == (1, 300)
    assert (seen.in_use, seen.counters.ends) == (2, 1)


def test_a_stated_time_of_the_count_reaches_the_estimator(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    group = {"total": 20, "unused": {SIP: 5}}
    for stated in (zone.now_ms - 700, zone.now_ms + 9_000):
        zone.advance(1000)
        answer = zone.one("ingest", t0=zone.now_ms, groups=[group], counted_at=stated)
        seen = learning.read_observation(answer["observations"][SIP])
        assert seen.counted_at == min(stated, seen.t1)


def test_a_recount_that_lowers_in_use_lowers_what_was_learned(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync, ceilings="learned")
    seconds(zone, 8)
    zone.grant(1)
    before = zone.pool()["learned"]["ceiling"]
    text = json.loads(redis_sync.hget(zone.keys[4], SIP))
    redis_sync.hset(zone.keys[4], SIP, json.dumps(text | {"in_use": 3}))
    meta = json.loads(redis_sync.hget(zone.keys[0], "meta"))
    redis_sync.hset(zone.keys[0], "meta", json.dumps(meta | {"recount": True}))
    pool = zone.pool()
    assert (pool["in_use"], pool["learned"]["ceiling"]) == (1, before - 2)


async def test_replicas_learn_exactly_once_from_each_snapshot(
    redis_url: str, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas send each snapshot at the same time, as after a lost reply."""
    quick = Parameters(interval_ms=0)
    monkeypatch.setattr(learning, "_parameters", lambda _target: quick)
    async with (
        open_ledger(redis_url, source="push", capacity={}) as one,
        open_ledger(redis_url, source="push", capacity={}) as two,
    ):
        for unused in range(10):
            await asyncio.sleep(0.002)
            t0 = await one.get_time("East")
            snapshot = Snapshot(groups=(SnapshotGroup(total=20, unused={SIP: unused}),))
            answers = await asyncio.gather(*(of.ingest("East", t0, snapshot) for of in (one, two)))
            assert all(answer.accepted for answer in answers)
            state = State.load(redis_sync.hget(f"{zone_keys('adm', 'East')[15]}{SIP}", "state"))
            assert state
            assert (state.t0, state.snapshots, state.unused) == (t0, unused + 1, unused)
        status = await two.get_status("East")
        (pool,) = (one for one in status["pools"] if one["pool"] == SIP)
        assert pool["learned"]["fallback"] == "cold"
        assert pool["learned"]["claim_median_ms"] > 0


async def test_a_ceiling_that_is_not_stored_does_not_fail_the_snapshot(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The script does not know the operation, as an older one would not."""
    build = learning.build_learn
    monkeypatch.setattr(
        learning, "build_learn", lambda seen: (build(seen) or {}) | {"op": "unknown"}
    )
    async with open_ledger(redis_url, source="push", capacity={}) as ledger:
        t0 = await ledger.get_time("East")
        snapshot = Snapshot(groups=(SnapshotGroup(total=20, unused={SIP: 5}),))
        assert (await ledger.ingest("East", t0, snapshot)).accepted
    assert "a learned ceiling was not stored" in caplog.text


@pytest.mark.parametrize("text", ["", "nonsense", "1 2 3 4 5 6 - ", "1 2 3 4 5 6 -"])
def test_a_learned_text_that_cannot_be_read_is_learned_anew(
    text: str, redis_sync: redis.Redis
) -> None:
    zone = Learning(redis_sync, ceilings="learned")
    seconds(zone, 8)
    stored = json.loads(redis_sync.hget(zone.keys[4], SIP))
    redis_sync.hset(zone.keys[4], SIP, json.dumps(stored | {"learned": text}))
    zone.grant(1)
    assert (zone.pool()["learned"]["fallback"], zone.pool()["limit"]) == ("cold", 20)
    seconds(zone, 8)
    assert zone.pool()["learned"]["in_force"]


def test_a_bin_that_cannot_be_read_counts_no_calls(redis_sync: redis.Redis) -> None:
    zone = Learning(redis_sync)
    zone.learn()
    zone.grant(1)
    redis_sync.hset(f"{zone.keys[15]}{SIP}", f"g{zone.now_ms // BIN_MS}", "x")
    zone.grant(2)
    zone.advance(200)
    assert set(zone.ingest()["observations"][SIP]["bins"].values()) == {"1"}


def test_the_stored_bins_stay_few(redis_sync: redis.Redis) -> None:
    """Bins that no count can show any more are deleted with each snapshot."""
    zone = Learning(redis_sync)
    zone.learn()
    for n in range(150):
        zone.advance(200)
        zone.grant(n)
        if n >= 10:
            zone.one("end", id=f"{n - 10:011d}", outcome="completed", ended_at=zone.now_ms)
        if n % 5 == 4:
            zone.learn()
    assert redis_sync.hlen(f"{zone.keys[15]}{SIP}") <= 2 * BINS

"""A call commits or changes nothing, whichever of its Redis commands fails."""

import json
import re
from collections import Counter
from itertools import product
from typing import Any, Final

import pytest
import redis

from admission.estimator.parameters import BIN_MS, BINS, ENDS_BINS
from tests.support.busy_zone import (
    KEYS,
    SOURCE,
    START_MS,
    BusyZone,
    Op,
    admit,
    end,
    launched,
    snapshot,
    wait,
)
from tests.support.faulty_redis import CODES
from tests.support.zone_state import Content, check_counts, live_records

# What an estimator may answer to the second snapshot of BusyZone.
LEARNED: Final = {
    **{"t0": START_MS + 1900, "after": 0, "failures": 0, "drops": 0, "state": "s" * 2500},
    **{"step_ms": 500, "valid_until": START_MS + 9000, "pending": 2, "burst_limit": 0},
    **{"doubts": [], "ceilings": [9, 8]},
}
ADOPT: Final = {"campaign": "a", "channel": "sip", "pools": ["trunk:x"]}
# Calls of every verb, each made to the same busy zone.
CALLS: Final[dict[str, list[Op]]] = {
    "grant": [admit("n1", "c", mpp="m1"), admit("n2", "d", count=3), admit("n3", "c")],
    "deny": [admit("n1", "a"), admit("n2", "b", count=5, min_count=5)],
    "queue": [wait("n1", "a"), wait("n2", "b"), wait("w1", "a")],
    "replay": [admit("x1", "a"), admit("x2", "a", id="other")],
    "dry run": [admit("n1", "a", dry_run=True, explain=True), admit("n2", "c", channel="any")],
    "launched": [launched("x1", session="s", mpp="m2"), launched("y1"), launched("x2")],
    "renew": [{"op": "renew", "id": "x1"}, {"op": "renew", "id": "nothing"}],
    "end": [end("x1"), end("y1", "no_resource"), end("m1", "failed"), end("unheard")],
    "end with waiters": [end("x1"), wait("w1", "a"), end("x2"), wait("w2", "b")],
    "unknown": [end("x1", "unknown"), end("x2", "unknown", ended_at=START_MS)],
    "adopt": [launched("lost", adopt=ADOPT), {"op": "renew", "id": "lost2", "adopt": ADOPT}],
    "withdraw": [
        {"op": "withdraw", "id": "x1", "request_id": "x1", "campaign": "a"},
        {"op": "withdraw", "id": "w1", "request_id": "w1", "campaign": "a", "replica": "A"},
        {"op": "beat", "replica": "A"},
    ],
    "ingest": [snapshot(START_MS + 3000, 7)],
    "learn": [{"op": "learn", "pools": {"channel:sip": LEARNED}}, end("x1"), admit("n1", "c")],
    "policy": [{"op": "policy", "mode": "apply", "digest": "e", **SOURCE}, admit("n1", "c")],
    "pause": [
        {"op": "pause", "pool": "trunk:x", "on": True, "by": "me"},
        {"op": "pause", "on": False},
    ],
    "limit": [{"op": "limit", "pool": "campaign:a", "limit": 1, "ttl_ms": 500, "by": "me"}],
    "lease": [{"op": "lease", "holder": "p", "ttl_ms": 1000}, {"op": "secret", "offer": "s"}],
    "queries": [
        {"op": "status"},
        {"op": "list", "cursor": "0", "limit": 10},
        {"op": "get", "id": "x1"},
        {"op": "policy_get"},
        {"op": "audit", "limit": 5},
        {"op": "time"},
    ],
    "stepped": [{"op": "stepped"}, admit("n1", "c")],
}
MANY_POOLS: Final = 520  # more than a call of the status reads (lua/commands/query.lua)
DENIED: Final = ("deny", "queue", "end with waiters")
# Zone time at the call: in the middle of everything, and when deadlines have passed.
MOMENTS: Final = {"busy": START_MS + 3200, "deadlines": START_MS + 23_500}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("verb", CALLS)
def test_a_failing_command_leaves_nothing_half_written(
    verb: str, moment: str, redis_sync: redis.Redis
) -> None:
    check_call(redis_sync, verb, moment)


def check_call(client: redis.Redis, verb: str, moment: str, source: str | None = None) -> None:
    """Fail each command of a call once, in each way. `source`: of the script, None: today's."""
    zone, ops, now = BusyZone(client, source), CALLS[verb], MOMENTS[moment]
    script, state = zone.script, zone.state
    before = state.read()
    good = script.call(ops, now)
    commands, after = script.commands, state.read()
    check_counts(after)
    for failing, code in product(range(1, commands + 1), CODES):
        state.restore()
        reply = script.call(ops, now, failing, code)
        found, where = state.read(), f"{code} at command {failing} of {commands}: {reply}"
        check_counts(found)
        if "error" in reply:
            assert reply["error"] == ("oom" if code == "OOM" else "aborted"), where
            if code != "OOM":
                assert found == before, where
            elif moment == "busy":  # a full Redis forgets what has ended, and nothing else
                assert live_records(found) == live_records(before), where
        elif reply == good:
            assert comparable(found, now) == comparable(after, now), where
            if verb in DENIED:
                continue  # a denied request is decided anew at a repeat
        else:
            assert "internal" in [one.get("error") for one in reply["results"]], where
            continue  # the others were decided without it: what it finds at a repeat may differ
        script.call(ops, now)
        repeated = state.read()
        check_counts(repeated)
        assert effects(repeated) == effects(after), where


def read_slices(zone: BusyZone, now: int) -> tuple[int, list[dict[str, Any]]]:
    """How many calls the status takes, and the pools of all of them."""
    pools, op, calls = [], {"op": "status"}, 0
    while op:
        (part,) = zone.script.call([op], now)["results"]
        pools += part["pools"] or []
        op = {"op": "status", "cursor": part["cursor"]} if "cursor" in part else {}
        calls += 1
    return calls, pools


def test_a_failing_command_leaves_the_status_of_many_pools_whole(redis_sync: redis.Redis) -> None:
    """A call that grants and reads a slice of more pools than one call may read."""
    zone, now = BusyZone(redis_sync), MOMENTS["busy"]
    limited = json.dumps({"in_use": 0, "set_limit": 1, "set_until": now + 60_000})
    names = {f"agent:{n}" for n in range(MANY_POOLS)}
    redis_sync.hset(KEYS[4], mapping=dict.fromkeys(names, limited))
    zone.state.save()
    before, ops = zone.state.read(), [admit("n1", "c"), {"op": "status", "cursor": "pools 0"}]
    zone.script.call(ops, now)
    for failing, code in product(range(1, zone.script.commands + 1), CODES):
        zone.state.restore()
        reply = zone.script.call(ops, now, failing, code)
        found, where = zone.state.read(), f"{code} at command {failing}: {str(reply)[:300]}"
        check_counts(found)
        if "error" in reply and code == "OOM":  # what has ended is forgotten, and nothing else
            assert live_records(found) == live_records(before), where
        elif "error" in reply:
            assert found == before, where
        else:
            failed = [one.get("error") for one in reply["results"] if "error" in one]
            assert failed in ([], ["internal"]), where
    zone.state.restore()
    calls, pools = read_slices(zone, now)
    shown = Counter(one["pool"] for one in pools)
    assert calls > 1
    assert names < shown.keys()
    assert max(shown.values()) == 1
    assert {one["in_use"] for one in pools if one["pool"] == "campaign:c"} == {3}


def comparable(content: Content, now: int) -> Content:
    """Leave out what is trimmed after the commit, which may fail; parse JSON objects.

    The order of an object's members depends on the seed of Lua's hashes.
    """
    return {
        name: {key: _parse(text) for key, text in value.items() if not _is_old_bin(key, now)}
        if isinstance(value, dict)
        else value
        for name, value in content.items()
        if not name.startswith("pend:")
    }


def _is_old_bin(field: bytes, now: int) -> bool:
    """Whether it is a bin of calls by age that no decision reads any more."""
    if not re.fullmatch(rb"[glef]\d+", field):
        return False
    return now // BIN_MS - int(field[1:]) > (BINS if field[:1] in b"gl" else ENDS_BINS)


def _parse(text: Any) -> Any:
    return json.loads(text) if isinstance(text, bytes) and text.startswith(b"{") else text


def effects(content: Content) -> dict[str, Any]:
    """What calls did to reservations, requests and pools, whatever else is counted."""
    kept = {name: content.get(name) for name in ("res", "due", "shares", "arrived")}
    learned = {"learned": content.get("learn:channel:sip", {}).get(b"state")}
    return kept | learned | {"requests": set(content["req"]), "pools": set(content["pools"])}

"""A whole key of the wrong type is set aside; what it held is rebuilt, or counted as lost."""

from collections.abc import Callable
from typing import Any, Final

import pytest
import redis

from admission.ledger import scripts
from tests.support.busy_zone import (
    KEYS,
    SOURCE,
    START_MS,
    BusyZone,
    admit,
    end,
    launched,
    snapshot,
    wait,
)
from tests.support.zone_state import check_counts, live_records

PREFIX: Final = KEYS[0].removesuffix("zone")
NAMES: Final = [
    *(key.removeprefix(PREFIX) for key in KEYS if not key.endswith(":")),
    "hungry:until",
    "hungry:trunk:x:0",
    "pend:channel:sip",
    "pend:mpps",
    "learn:channel:sip",
]
# Without these calls may be up that the ledger does not know: it recovers.
LOST: Final = {"zone", "res", "pools", "pend:channel:sip", "pend:mpps", "learn:channel:sip"}
TYPES: Final[dict[str, Callable[[redis.Redis, str], Any]]] = {
    "string": lambda client, key: client.set(key, "x"),
    "list": lambda client, key: client.rpush(key, "x"),
    "set": lambda client, key: client.sadd(key, "x"),
    "sorted set": lambda client, key: client.zadd(key, {"x": 1}),
    "hash": lambda client, key: client.hset(key, "x", "1"),
}
SORTED_SETS: Final = {
    "due",
    "queue",
    "arrived",
    "hungry:trunk:x:0",
    "pend:channel:sip",
    "pend:mpps",
}
STREAM: Final = "audit"
CASES: Final = [
    (name, kind)
    for name in NAMES
    for kind in TYPES
    if name == STREAM or kind != ("sorted set" if name in SORTED_SETS else "hash")
]
STATUS: Final = {"op": "status"}
NOW: Final = START_MS + 3200


def damage(client: redis.Redis, name: str, kind: str) -> bytes:
    """Give a key another type, and return which."""
    TYPES[kind](client, "other")
    client.rename("other", PREFIX + name)
    found: bytes = client.type(PREFIX + name)
    return found


def call(zone: BusyZone, *ops: dict[str, Any], now: int = NOW) -> list[dict[str, Any]]:
    reply = zone.script.call(list(ops), now)
    if reply.get("error") == "no_policy":  # the client restores it
        restore = {"op": "policy", "mode": "restore", "digest": "d", "version": 1, "known": 1}
        assert "error" not in zone.script.call([restore | SOURCE], now)
        reply = zone.script.call(list(ops), now)
    assert "error" not in reply, reply
    assert all((one or {}).get("error") != "internal" for one in reply["results"]), reply
    return list(reply["results"])


def contend(zone: BusyZone) -> None:
    """Several campaigns contend for trunk:x, so that every key of a zone exists."""
    call(zone, wait("w3", "a"), wait("w4", "b"), admit("n0", "a"))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_key_of_the_wrong_type_stops_nothing(
    name: str, kind: str, redis_sync: redis.Redis
) -> None:
    zone = BusyZone(redis_sync)
    contend(zone)
    found = damage(redis_sync, name, kind)
    recoveries = int(zone.state.read().get("stats", {}).get(b"recovery", 0))
    ops = [admit("n1", "b"), end("x1"), wait("w5", "a"), launched("x2"), snapshot(NOW - 10), STATUS]
    call(zone, *ops, {"op": "audit", "limit": 1})
    call(zone, {"op": "time"})
    content = zone.state.read()
    check_counts(content, may_lack_requests=name == "req")
    if name != "recount":  # nothing reads it before the next recount
        shown = {one["name"]: one for one in call(zone, STATUS)[0]["aside"]}[name]
        assert (shown["kind"], shown["type"]) == ("key", found.decode())
        assert redis_sync.type(shown["key"]) == found
    stats = zone.state.read()["stats"]
    assert name == "recount" or int(stats[b"set_aside"]) >= 1
    if name not in ("stats", "policy"):
        assert int(stats[b"recovery"]) == recoveries + (name in LOST)


def test_it_is_repaired_within_the_call_that_meets_it(redis_sync: redis.Redis) -> None:
    zone = BusyZone(redis_sync)
    damage(redis_sync, "shares", "list")
    answers = call(zone, end("x1"), {"op": "time"})
    assert answers[0]["state"] == "ended"
    check_counts(zone.state.read())


def test_lost_records_are_a_lost_state(redis_sync: redis.Redis) -> None:
    zone = BusyZone(redis_sync)
    damage(redis_sync, "res", "string")
    (answer,) = call(zone, admit("n1", "b"))
    assert answer["reason"] == "recovering"
    call(zone, {"op": "time"})
    content = zone.state.read()
    assert live_records(content) == {}
    check_counts(content)


def test_a_rename_is_undone_with_its_call(redis_sync: redis.Redis) -> None:
    check_rename(redis_sync)


def check_rename(client: redis.Redis, source: str | None = None) -> None:
    """A call that sets a key aside and then fails changes nothing. `source`: of the script."""
    zone, ops = BusyZone(client, source), [end("x1"), admit("n1", "c")]
    damage(client, "shares", "list")
    zone.state.save()
    zone.script.call(ops, NOW)
    for failing in range(1, zone.script.commands + 1):
        zone.state.restore()
        reply = zone.script.call(ops, NOW, failing, "NOPERM")
        is_left = client.type(f"{PREFIX}shares") == b"list"
        is_renamed = client.type(f"{PREFIX}aside:shares") == b"list"
        assert (is_left, is_renamed) == (("error" in reply), ("error" not in reply)), failing


def test_several_keys_at_once(redis_sync: redis.Redis) -> None:
    zone = BusyZone(redis_sync)
    contend(zone)
    for name in ("zone", "pools", "due", "pend:channel:sip", "hungry:trunk:x:0"):
        damage(redis_sync, name, "set")
    for after in (0, 1, 2):
        call(zone, admit("n1", "b"), end("x2"), snapshot(NOW - 10), now=NOW + after)
    check_counts(zone.state.read())


@pytest.mark.parametrize(
    ("name", "field", "text"),
    [
        ("zone", "meta", "{"),
        ("zone", "meta", "7"),
        ("policy", "zone", "{"),
        ("policy", "paused", "?"),
        ("policy", "campaign:a", "{"),
        ("policy", "trunk:x", "[1"),
        ("stats", "grant", "many"),
        ("stats", "denied:1", "{"),
        ("shares", "trunk:x a", "?"),
        ("pools", "trunk:x", '{"in_use":3,"hold":"long"}'),
        ("pools", "channel:sip", '{"in_use":3,"t0":[],"ceiling":{}}'),
        ("hungry:until", "trunk:x a", "soon"),
        ("waiters", "a/w1", "{"),
        ("req", "a/x1", "x1 b 999999999 1  1 1 sip  1"),
    ],
)
def test_a_text_that_cannot_be_read_stops_nothing(
    name: str, field: str, text: str, redis_sync: redis.Redis
) -> None:
    zone = BusyZone(redis_sync)
    contend(zone)
    redis_sync.hset(PREFIX + name, field, text)
    ops = [admit("n1", "b"), end("x1"), wait("w1", "a"), launched("x2"), snapshot(NOW - 10), STATUS]
    call(zone, *ops)
    call(zone, admit("n2", "a"), STATUS, now=NOW + 30_000)  # each deadline has passed
    call(zone, {"op": "time"}, now=NOW + 120_000)  # a recount has read everything
    call(zone, {"op": "time"}, now=NOW + 120_001)
    check_counts(zone.state.read(), may_lack_requests=name == "req")


def test_inspected_entries_are_cleared(redis_sync: redis.Redis) -> None:
    zone = BusyZone(redis_sync)
    redis_sync.hset(f"{PREFIX}res", "x1", "?")
    damage(redis_sync, "shares", "list")
    call(zone, end("x1"), end("y1"))
    shown = call(zone, STATUS)[0]["aside"]
    assert [(one["kind"], one["name"]) for one in shown] == [
        ("key", "shares"),
        ("reservation", "x1"),
    ]
    assert call(zone, {"op": "aside_clear", "by": "me"}) == [{"cleared": 2}]
    assert call(zone, STATUS)[0]["aside"] in ([], {})
    assert redis_sync.keys(f"{PREFIX}aside*") == []
    (newest, *_) = call(zone, {"op": "audit", "limit": 1})[0]["entries"]
    assert (newest["by"], newest["did"], newest["detail"]) == ("me", "clear_aside", {"cleared": 2})


def test_every_key_is_tried() -> None:
    text = scripts.read_module("state/aside")
    types = text[text.index("local TYPES") : text.index("local function is_wrong")]
    assert types.count(" = 'hash'") + types.count(" = 'zset'") + types.count("'stream'") == 15
    assert len(NAMES) == 14 + 5

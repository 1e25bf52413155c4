"""The unit of work, each of its rules broken once: some test of it must see that."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest
import redis

from tests.ledger.test_failed_undo import check_failed_undo
from tests.ledger.test_full_redis import check_deletion, check_forgetting
from tests.ledger.test_unit_of_work import CALLS, MOMENTS, check_call
from tests.ledger.test_wrong_keys import check_rename
from tests.support.busy_zone import START_MS, BusyZone, admit, end, wait
from tests.support.lua_mutations import LuaMutation
from tests.support.redis_server import RedisServer

MUTATIONS: Final = (
    LuaMutation(name="the first write needs no memory", tag="unit-guards-first"),
    LuaMutation(
        name="the first write of a commit needs no memory",
        tag="unit-writes-meta-first",
        becomes="write_buffers(); write_meta(meta)",
    ),
    LuaMutation(name="a read sees no earlier write", tag="unit-writes-before-read"),
    LuaMutation(name="a write has no inverse", tag="unit-records-inverse"),
    LuaMutation(name="a step of the commit has no inverse", tag="unit-records-commit"),
    LuaMutation(name="an entry of a stream has no inverse", tag="unit-records-append"),
    LuaMutation(name="a renamed key has no inverse", tag="unit-records-rename"),
    LuaMutation(
        name="the undo runs forwards", tag="unit-undoes-in-reverse", becomes="for i = 1, n do"
    ),
    LuaMutation(name="a failed undo goes unnoticed", tag="unit-notices-failed-undo"),
    LuaMutation(
        name="entries are discarded before the commit",
        tag="unit-discards-last",
        becomes="function unit.discard(...) run(...) end",
    ),
    LuaMutation(
        name="a notification can fail a call",
        tag="unit-publishes-last",
        becomes="function unit.publish(...) run('PUBLISH', ...) end",
    ),
    LuaMutation(
        name="a full server deletes nothing",
        tag="unit-deletes-first",
        becomes="local IS_DELETION = {}",
    ),
    LuaMutation(name="half of an operation stays", tag="error-after-change-aborts"),
    LuaMutation(name="no recovery after a failed undo", tag="failed-undo-begins-recovery"),
)


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    """A server of its own, whose memory may be limited."""
    with RedisServer() as server, server.client() as opened:
        yield opened


def check_notification(client: redis.Redis, source: str | None = None) -> None:
    """The last command of a call that notifies is the notification, which fails nothing."""
    zone, ops = BusyZone(client, source), [end("x1")]
    good = zone.script.call(ops, START_MS + 3200)
    zone.state.restore()
    last = zone.script.commands
    assert zone.script.call(ops, START_MS + 3200, last, "NOPERM") == good


def check_read(client: redis.Redis, source: str | None = None) -> None:
    """An operation sees what an earlier one of its call wrote."""
    zone = BusyZone(client, source)
    grant, page = admit("new", "d", channel="h323"), {"op": "list", "cursor": "0", "limit": 1000}
    reply = zone.script.call([grant, page], START_MS + 3200)
    assert "new" in [one["id"] for one in reply["results"][1]["reservations"]]


def check_undo(client: redis.Redis, source: str | None = None) -> None:
    """A call that writes one entry twice, and two entries of a stream, is undone in full."""
    zone = BusyZone(client, source)
    before = zone.state.read()
    limit = {"op": "limit", "pool": "campaign:a", "limit": 1, "ttl_ms": 500, "by": "me"}
    ops = [wait("w1", "a"), wait("w1", "a"), limit, limit | {"limit": 2}]
    zone.script.call(ops, START_MS + 3200)
    for failing in range(1, zone.script.commands + 1):
        zone.state.restore()
        reply = zone.script.call(ops, START_MS + 3200, failing, "NOPERM")
        assert "error" not in reply or zone.state.read() == before


def iterate_checks() -> Iterator[Callable[[redis.Redis, str], None]]:
    """Every check, the quick ones first."""
    yield check_notification
    yield check_read
    yield check_undo
    yield check_forgetting
    yield check_deletion
    yield check_rename
    for more in ("one", "all"):
        yield partial(_check_failed_undo, "grant", more)
    for verb in ("ingest", *(verb for verb in CALLS if verb != "ingest")):
        for moment in MOMENTS:
            yield partial(_check_call, verb, moment)


def _check_call(verb: str, moment: str, client: redis.Redis, source: str) -> None:
    check_call(client, verb, moment, source)


def _check_failed_undo(verb: str, more: str, client: redis.Redis, source: str) -> None:
    check_failed_undo(client, verb, more, source)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_unit_of_work_is_seen(mutation: LuaMutation, client: redis.Redis) -> None:
    def fails(check: Callable[[redis.Redis, str], None]) -> bool:
        try:
            check(client, mutation.script().source)
        except AssertionError:
            return True
        return False

    assert any(fails(check) for check in iterate_checks())


def test_the_checks_pass_on_the_unbroken_script(client: redis.Redis) -> None:
    for check in (
        check_notification,
        check_read,
        check_undo,
        check_forgetting,
        check_deletion,
        check_rename,
    ):
        check(client, None)

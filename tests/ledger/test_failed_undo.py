"""A call whose undo fails as well: the zone learns of it, recovers and recounts."""

from typing import Any, Final

import pytest
import redis

from tests.ledger.test_unit_of_work import CALLS
from tests.support.busy_zone import START_MS, BusyZone
from tests.support.faulty_redis import FOREVER
from tests.support.zone_state import check_counts

NOW: Final = START_MS + 3200
# Commands that fail after the first one: a few, or all, so that the mark cannot be stored.
MORE: Final = {"all": FOREVER, "one": 1, "two": 2, "three": 3}


def stat(zone: BusyZone, name: bytes) -> int:
    return int(zone.state.read()["stats"].get(name, 0))


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("verb", ["grant", "end", "launched", "adopt", "ingest", "queue"])
def test_a_failed_undo_begins_a_recovery(verb: str, more: str, redis_sync: redis.Redis) -> None:
    check_failed_undo(redis_sync, verb, more)


def check_failed_undo(client: redis.Redis, verb: str, more: str, source: str | None = None) -> None:
    """Fail each command of a call, and some of its undo. `source`: of the script."""
    zone, ops = BusyZone(client, source), CALLS[verb]
    zone.script.call(ops, NOW)
    commands, found = zone.script.commands, set()
    for failing in range(1, commands + 1):
        zone.state.restore()
        before = zone.state.read()
        reply = zone.script.call(ops, NOW, failing, "NOPERM", last=failing + MORE[more])
        undo = reply.get("undo")
        found.add(undo)
        if undo is None:
            check_counts(zone.state.read())
            if "error" in reply:
                assert zone.state.read() == before
            continue
        check_repair(zone, undo)
    if more == "all":
        assert "failed" in found
        assert "marked" not in found


def check_repair(zone: BusyZone, undo: str) -> None:
    """The zone recovers with the next call, and its counts are right."""
    recoveries, undone = stat(zone, b"recovery"), stat(zone, b"undo_failed")
    ops_before: list[dict[str, Any]] = (
        [{"op": "recount", "undo_failed": 1}] if undo == "failed" else []
    )
    for ops in (ops_before, [{"op": "status"}], [{"op": "time"}]):
        if ops:
            reply = zone.script.call(ops, NOW)
            assert "error" not in reply, reply
    content = zone.state.read()
    check_counts(content, may_lack_requests=True)
    assert content["due"].keys() == content["res"].keys(), "deadlines"
    assert stat(zone, b"recovery") == recoveries + 1
    assert stat(zone, b"undo_failed") == undone + 1


def test_a_failed_undo_may_leave_a_part(redis_sync: redis.Redis) -> None:
    """The test above tests something: without the repair some counts are wrong."""
    zone, ops = BusyZone(redis_sync), CALLS["grant"]
    zone.script.call(ops, NOW)
    wrong = 0
    for failing in range(1, zone.script.commands + 1):
        zone.state.restore()
        zone.script.call(ops, NOW, failing, "NOPERM", last=FOREVER)
        try:
            check_counts(zone.state.read())
        except AssertionError:
            wrong += 1
    assert wrong > 0

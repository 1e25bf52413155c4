"""The client reports failed undos, and ends recounts that grants wait for."""

import json
from typing import Any

import pytest
import redis

from admission import errors
from admission.config.settings import RedisSettings
from admission.ledger.keys import zone_keys
from admission.ledger.ledger import Ledger
from admission.ledger.recounts import Recounts
from admission.ledger.store.connection import open_connection
from tests.support.typed_ledger import ask, make_policy, wait_for_recovery

STATS = zone_keys("adm", "East")[6]


class Script:
    """Answers calls with prepared replies, and keeps their operations."""

    def __init__(self, *replies: dict[str, Any] | Exception) -> None:
        self.replies = list(replies)
        self.calls: list[list[dict[str, Any]]] = []

    async def evaluate(self, zone: str, ops: list[dict[str, Any]]) -> bytes:
        assert zone == "East"
        self.calls.append(ops)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return json.dumps(reply).encode()


async def test_a_failed_undo_is_reported_once() -> None:
    script = Script({"now": 1})
    recounts = Recounts(script.evaluate)
    assert await recounts.report_failed_undos("East") is None
    recounts.read("East", {"error": "aborted", "undo": "failed"})
    recounts.read("East", {"error": "aborted", "undo": "failed"})
    recounts.read("East", {"error": "aborted", "undo": "marked"})  # the zone knows of it
    assert await recounts.report_failed_undos("West") is None
    for _ in range(2):
        assert await recounts.report_failed_undos("East") is None
    assert script.calls == [[{"op": "recount", "undo_failed": 2}]]


async def test_a_report_that_is_refused_is_repeated() -> None:
    refused = {"now": 0, "error": "oom"}
    script = Script(refused, errors.Unavailable("gone"), {"now": 0, "error": "no_policy"}, {})
    recounts = Recounts(script.evaluate)
    recounts.read("East", {"error": "aborted", "undo": "failed"})
    assert await recounts.report_failed_undos("East") == refused
    with pytest.raises(errors.Unavailable):
        await recounts.report_failed_undos("East")
    assert await recounts.report_failed_undos("East") is None  # the policy is restored first
    assert await recounts.report_failed_undos("East") is None
    assert await recounts.report_failed_undos("East") is None
    assert script.calls == 4 * [[{"op": "recount", "undo_failed": 1}]]


async def test_a_script_that_failed_is_followed_by_a_recount() -> None:
    script = Script({})
    recounts = Recounts(script.evaluate)
    recounts.doubt("East")
    await recounts.report_failed_undos("East")
    assert script.calls == [[{"op": "recount"}]]


async def test_calls_end_a_recount_that_grants_wait_for() -> None:
    script = Script({"recount": True}, {"recount": True}, {})
    recounts = Recounts(script.evaluate)
    for _ in range(2):
        recounts.read("East", {"recount": True})
    (task,) = recounts._running.values()
    await task
    assert script.calls == 3 * [[{"op": "time"}]]
    await recounts.close()


async def test_a_recount_ends_with_the_server() -> None:
    script = Script({"recount": True}, errors.Unavailable("gone"))
    recounts = Recounts(script.evaluate)
    recounts.read("East", {"recount": True})
    (task,) = recounts._running.values()
    await task
    assert len(script.calls) == 2
    assert not recounts._running


async def test_the_zone_recovers_after_a_failed_undo(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    connection = await open_connection(RedisSettings(url=redis_url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(), "file")
    await wait_for_recovery(ledger)
    before = int(redis_sync.hget(STATS, "recovery") or 0)
    ledger._calls._recounts.read("East", {"error": "aborted", "undo": "failed"})
    await ledger.get_time("East")
    await ledger.get_time("East")
    stats = redis_sync.hgetall(STATS)
    assert (int(stats[b"recovery"]), int(stats[b"undo_failed"])) == (before + 1, 1)
    await wait_for_recovery(ledger)
    assert (await ledger.admit("East", ask(1)))["decision"] == "grant"
    await ledger.close()
    await connection.close()

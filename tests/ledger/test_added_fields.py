"""Version N and the next one take turns on one zone: N keeps the fields that only N+1 knows.

N+1 is today's script with one more field in each of its stored forms: a reservation, a request, a
pool. A replica of either version may take any call while replicas are replaced.
"""

import json
from itertools import cycle, product
from typing import Any, Final

import pytest
import redis

from admission.ledger import scripts
from tests.support.busy_zone import KEYS, START_MS, BusyZone, admit, end, launched
from tests.support.faulty_redis import FaultyScript
from tests.support.zone_state import check_counts

RES, REQ, POOLS = KEYS[1], KEYS[2], KEYS[4]
RENEW: Final = {"op": "renew", "id": "n1"}
RECOUNT: Final = {"op": "recount"}
TIME: Final = {"op": "time"}
# The life of a request of two launches: each step is a call of one version.
STEPS: Final[list[list[dict[str, Any]]]] = [
    [admit("n1", "d", count=2)],
    [launched("n1", session="s", mpp="m2")],
    [RENEW],
    [admit("n1", "d", count=2, id="another")],  # a repeat
    [RECOUNT],
    [TIME],
    [end("n1")],
]
WRITES: Final = ("admit", "launched", "renew", "end")
AFTER_RETENTION_MS: Final = 600


def make_next_version() -> str:
    """Today's script with a field more in each stored form."""
    source = scripts.load("test").source
    for old, new in (
        ("record.tail or ''", "record.tail or ';later=7'"),
        ("request.tail or ''", "request.tail or ' later=8'"),
        (
            "for field, value in pairs(pool.unknown or {}) do fields[field] = value end",
            "fields.later = (pool.unknown and pool.unknown.later or 0) + 1",
        ),
        ("local is_kept = not pool.is_changed and pool.rest_at", "local is_kept = false"),
    ):
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


class Versions:
    """A busy zone of N, and calls to it by N and by N+1."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.zone = BusyZone(client)
        self.scripts = {
            "N": self.zone.script,
            "N+1": FaultyScript(client, KEYS, make_next_version()),
        }
        self.now = START_MS + 2400

    def call(self, version: str, ops: list[dict[str, Any]], after_ms: int = 5) -> None:
        self.now += after_ms
        reply = self.scripts[version].call(ops, self.now)
        assert "error" not in reply, reply
        assert all("error" not in one for one in reply["results"] if one), reply
        check_counts(self.zone.state.read())

    def has_field(self, name: str) -> bool:
        """Whether a reservation has the field of N+1."""
        return b";later=7 " in (self.client.hget(RES, name) or b"")

    def request(self) -> bytes:
        """The stored request."""
        return bytes(self.client.hget(REQ, "d/n1") or b"")

    def pool(self) -> int:
        """The field of N+1 in the pool that all steps change."""
        return int(json.loads(self.client.hget(POOLS, "campaign:d") or b"{}").get("later", 0))


@pytest.mark.parametrize("turns", list(product(("N", "N+1"), repeat=3)), ids=" ".join)
def test_n_keeps_the_fields_of_n_plus_one(turns: tuple[str, ...], redis_sync: redis.Redis) -> None:
    versions, order = Versions(redis_sync), cycle(turns)
    for ops in STEPS:
        version, had_field, pool = next(order), versions.has_field("n1"), versions.pool()
        versions.call(version, ops)
        if had_field:
            assert versions.has_field("n1"), (version, ops)
        elif version == "N":
            assert not versions.has_field("n1")
        assert version == "N+1" or versions.pool() == pool, (version, ops)
    writes_record = [turn for turn, ops in zip(cycle(turns), STEPS) if ops[0]["op"] in WRITES]
    assert versions.has_field("n1") == ("N+1" in writes_record)


@pytest.mark.parametrize("first", ["N", "N+1"])
def test_a_request_keeps_its_field_until_its_last_reservation_goes(
    first: str, redis_sync: redis.Redis
) -> None:
    versions = Versions(redis_sync)
    versions.call("N+1", [admit("n1", "d", count=2)])
    assert versions.request().endswith(b" later=8")
    assert versions.has_field("n1")
    assert versions.has_field("n1.2")
    versions.call("N", [admit("n1", "d", count=2, id="another")])
    assert versions.request().endswith(b" later=8")
    versions.call("N", [end("n1")])
    versions.call(first, [TIME], after_ms=AFTER_RETENTION_MS)
    assert redis_sync.hget(RES, "n1") is None
    assert versions.request().endswith(b" later=8")
    assert versions.has_field("n1.2")
    versions.call("N", [end("n1.2")])
    versions.call("N", [TIME], after_ms=AFTER_RETENTION_MS)
    assert versions.request() == b""

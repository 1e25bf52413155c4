"""The typed ledger on a real Redis: zone East of ten static ports, and what tests do with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from admission.config.settings import RedisSettings
from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, parse_policy, policy_json
from admission.errors import Unavailable
from admission.ledger.ledger import Ledger, StoredPolicy
from admission.ledger.store.connection import open_connection

T = TypeVar("T")

STATIC_POLICY = {
    "source": "static",
    "channels": ["sip"],
    "capacity": {"sip": 10},
    "launch_within_ms": 1,
    "claim_within_ms": 0,
    "campaigns": {"collections": {"limit": 8}},
    "pools": {"trunk:a": {"limit": 5}},
}


def make_policy(**changes: Any) -> StoredPolicy:
    """Return the stored form of the policy of ten static ports; `changes`: fields on top."""
    policy = parse_policy(STATIC_POLICY | changes)
    return StoredPolicy(
        digest=digest(policy), fields=compile_policy(policy), source=policy_json(policy)
    )


def ask(n: int, **changes: Any) -> dict[str, Any]:
    """Return the operation of the n-th admission request; `changes`: fields on top."""
    op = {"op": "admit", "id": f"{n:011d}", "request_id": f"r{n}", "campaign": "collections"}
    return op | {"body": "b", "count": 1, "min_count": 1, "owner": "me"} | changes


@asynccontextmanager
async def open_ledger(url: str, **changes: Any) -> AsyncIterator[Ledger]:
    """Open a ledger whose zone has recovered; `changes`: fields of the zone's policy."""
    connection = await open_connection(RedisSettings(url=url))
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(**changes), "file")
    await wait_for_recovery(ledger)
    yield ledger
    await ledger.close()
    await connection.close()


async def wait_for_recovery(ledger: Ledger) -> None:
    """Wait until the start-up recovery (here: 1 ms) has passed, by status requests."""
    while (await ledger.get_status("East"))["recovering"]:
        pass


async def get_in_use(ledger: Ledger) -> dict[str, int]:
    """Return pool -> in_use of the pools that are in use."""
    pools = (await ledger.get_status("East"))["pools"]
    return {one["pool"]: one["in_use"] for one in pools if one["in_use"]}


async def retry(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call, as a dialer does, until the ledger is available."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.01)

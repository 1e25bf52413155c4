"""Limits of connections: their number, and time-outs of clients that do not send or read.

A request has time-outs of its own: for its body (parsing.py), for its decision (those of the
store). The time-outs here apply before a request has arrived, and while a client does not read a
response.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

# File descriptors for everything but clients: the store, the platforms, logs.
_RESERVED_FILES: Final = 256
_CONNECTIONS_MIN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTimeouts:
    """Time-outs of a connection, in seconds.

    Args:
        first_request_s: from the accept to the end of the headers of the first request.
        stalled_read_s: without progress while a response waits to be read by the client.
        check_interval_s: between two checks of all connections.
    """

    first_request_s: float = 20.0
    stalled_read_s: float = 30.0
    check_interval_s: float = 1.0


class TimedConnection(Protocol):
    """A connection that enforces its time-outs when asked to."""

    def enforce_timeouts(self, now: float, timeouts: ConnectionTimeouts) -> None:
        """Abort the connection if a time-out has passed. Args: now: time of the loop in seconds."""


@asynccontextmanager
async def timeouts_enforced(
    connections: Iterable[TimedConnection], timeouts: ConnectionTimeouts
) -> AsyncIterator[None]:
    """Check all connections periodically inside the block; `connections` may change meanwhile."""
    loop = asyncio.get_running_loop()

    async def check() -> None:
        while True:
            await asyncio.sleep(timeouts.check_interval_s)
            for one in tuple(connections):
                one.enforce_timeouts(loop.time(), timeouts)

    checking = asyncio.create_task(check(), name="enforce connection time-outs")
    try:
        yield
    finally:
        checking.cancel()
        with suppress(asyncio.CancelledError):
            await checking


def raise_file_limit() -> int:
    """Raise RLIMIT_NOFILE to its maximum. Returns: the number of client connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 20
    return max(_CONNECTIONS_MIN, soft - _RESERVED_FILES)

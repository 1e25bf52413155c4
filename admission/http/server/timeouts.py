"""Connections that cost more than they bring: too many, too slow to ask, too slow to read.

What is slow *inside* a request has its own bounds: its body (parsing.py), its decision (the store's
time-outs). Here is what lies between: nothing of a request yet, or an answer that nobody takes.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

# Files that are no client's connection: the store's, the platforms', logs.
_OTHER_FILES: Final = 256
_CONNECTIONS_MIN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTimeouts:
    """How long a connection may take, in seconds.

    Args:
        first_request_s: from its opening to the end of the first request's headers.
        reading_s: while an answer lies ready for a client that takes nothing of it.
        look_s: between two looks at all connections.
    """

    first_request_s: float = 20.0
    reading_s: float = 30.0
    look_s: float = 1.0


class Watched(Protocol):
    """A connection that can be looked at."""

    def look(self, now: float, timeouts: ConnectionTimeouts) -> None:
        """End it, if it tries our timeouts. Args: now: of the loop, in seconds."""


@asynccontextmanager
async def watched(
    connections: Iterable[Watched], timeouts: ConnectionTimeouts
) -> AsyncIterator[None]:
    """Look at all of these, time and again; `connections` may change meanwhile."""
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        while True:
            await asyncio.sleep(timeouts.look_s)
            for one in tuple(connections):
                one.look(loop.time(), timeouts)

    watching = asyncio.create_task(watch(), name="watch connections")
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def allow_many_files() -> int:
    """Open files as many as the system lets us. Returns: connections of clients that leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 20
    return max(_CONNECTIONS_MIN, soft - _OTHER_FILES)

"""A zone for dialers, and a wire to it that can lose answers or be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.support.service_house import House

# A new zone recovers for launch_within + claim_within: short, until the first grant.
ZONE = """
[zones.East]
source = "static"
channels = ["sip", "h323"]
capacity = { sip = 10, h323 = 4 }
launch_within_ms = 1
claim_within_ms = 0
[zones.East.mpps]
mpp1 = { sip = 10, h323 = 4 }
[zones.East.campaigns.collections]
limit = 8
[zones.East.campaigns."*"]
[zones.East.pools."trunk:carrier-a"]
limit = 6
"""


async def take_your_time(house: House, **changes: int) -> None:
    """From now on a launch may come late: so nothing here depends on how fast this machine is."""
    patch = {"launch_within_ms": 20_000} | changes
    status, told = await house.send("PATCH", "/v1/zones/East/policy", patch)
    assert status == 200, told


async def found(house: House, id: str) -> dict[str, Any]:
    """A reservation as the service has it."""
    return dict(await house.get(f"/v1/reservations/{id}"))


async def in_use(house: House, pool: str = "channel:sip") -> int:
    pools = (await house.get("/v1/zones/East"))["pools"]
    return int(next((one["in_use"] for one in pools if one["pool"] == pool), 0))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so: the service tells nobody when a reservation changes."""
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110  no event
            await asyncio.sleep(0.01)


async def until_is(house: House, id: str, **wanted: Any) -> dict[str, Any]:
    """Until the service says so of a reservation."""
    seen: dict[str, Any] = {}

    async def so() -> bool:
        status, one = await house.send("GET", f"/v1/reservations/{id}")
        seen.update(one)
        return status == 200 and wanted.items() <= one.items()

    await until(so)
    return seen


class Wire:
    """A TCP proxy in front of a service, which loses answers on demand."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 0)
        self.url = ""
        self.answers_to_lose = 0
        self.lost = 0
        self._open: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Hang up on everybody."""
        for one in self._open:
            one.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        there = asyncio.create_task(_pass(reader, up_writer))
        try:
            while data := await up_reader.read(65536):
                if self.answers_to_lose:
                    self.answers_to_lose -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            there.cancel()
            await asyncio.gather(there, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def losing(upstream: str) -> AsyncIterator[Wire]:
    wire = Wire(upstream)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        try:
            yield wire
        finally:
            await wire.close()

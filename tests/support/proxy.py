"""A proxy between a client and a server that fails as a test says: on unix sockets or on TCP."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

CHUNK = 65_536
Direction = Literal["request", "reply"]


def address_of(url: str) -> tuple[str, int]:
    """Return the host and port of an HTTP URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


class FaultyProxy:
    """Passes bytes both ways, until a test makes it lose, delay, swallow or cut them.

    A request whose reply is lost has gone through: the server has run it.

    Args:
        upstream: the server's unix socket, or its host and port.
        own: the unix socket to listen on; None: a free TCP port of the loopback.
        lose_after: replies are lost only on a connection whose requests contained these bytes.

    Attributes:
        url: of the proxy.
        silent: swallow everything, as a black hole does.
        delay_s: hold each piece back for so long.
        passed: bytes so far, each way.
        lost: replies so far.
    """

    def __init__(
        self,
        upstream: Path | tuple[str, int],
        own: Path | None = None,
        *,
        lose_after: bytes = b"",
    ) -> None:
        self.url = ""
        self.silent = False
        self.delay_s = 0.0
        self.passed: dict[Direction, int] = {"request": 0, "reply": 0}
        self.lost = 0
        self._to_lose = 0
        self._cut: tuple[Direction, int] | None = None
        self._upstream, self._own, self._lose_after = upstream, own, lose_after
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._own:
            self._server = await asyncio.start_unix_server(self._serve, self._own)
            self.url = f"unix://{self._own}"
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def lose_replies(self, n: int) -> None:
        """Close the connection instead of passing each of the next n replies."""
        self._to_lose = n

    def lose_one_more(self) -> None:
        """Lose another reply, on top of those that are still to be lost."""
        self._to_lose += 1

    def cut_after(self, direction: Direction, more: int) -> None:
        """Reset the connection that carries the next byte but so many, once."""
        self._cut = direction, self.passed[direction] + more

    @property
    def was_cut(self) -> bool:
        """Whether the requested cut has been made."""
        return self._cut is None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        up_reader, up_writer = await self._connect()
        connection = _Connection((writer, up_writer), may_lose=not self._lose_after)
        try:
            pumps = (
                self._pump("request", reader, up_writer, connection),
                self._pump("reply", up_reader, writer, connection),
            )
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for end in connection.ends:
                end.transport.abort()

    async def _pump(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: "_Connection",
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.silent:
                    continue
                if self._loses(direction, data, connection):
                    break
                left = self._left(direction)
                self.passed[direction] += len(data[:left])
                writer.write(data[:left])
                await writer.drain()
                if left is not None and len(data) >= left:
                    self._cut = None
                    break
        for end in connection.ends:
            end.close()

    def _loses(self, direction: Direction, data: bytes, connection: "_Connection") -> bool:
        if direction == "request":
            connection.may_lose |= self._lose_after in data
            return False
        if not (self._to_lose and connection.may_lose):
            return False
        self._to_lose -= 1
        self.lost += 1
        return True

    def _left(self, direction: Direction) -> int | None:
        """Return the bytes until the cut, None if there is none in this direction."""
        if self._cut is None or self._cut[0] != direction:
            return None
        return self._cut[1] - self.passed[direction]


class _Connection:
    def __init__(self, ends: tuple[asyncio.StreamWriter, ...], *, may_lose: bool) -> None:
        self.ends = ends
        self.may_lose = may_lose

"""A line between the service and Redis that goes wrong: silent, slow, or cut at a byte."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

CHUNK = 65_536
Way = Literal["request", "reply"]


class Link:
    """Passes bytes on from a unix socket of its own to Redis' one.

    Attributes:
        silent: swallow everything, as a black hole does.
        delay_s: hold each piece back for so long.
        passed: bytes so far, each way.
    """

    def __init__(self, upstream: Path, own: Path) -> None:
        self.url = f"unix://{own}"
        self.silent = False
        self.delay_s = 0.0
        self.passed: dict[Way, int] = {"request": 0, "reply": 0}
        self._cut: tuple[Way, int] | None = None
        self._upstream, self._own = upstream, own
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._own)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut_after(self, way: Way, more: int) -> None:
        """Reset the connection that carries the next byte but so many, once."""
        self._cut = way, self.passed[way] + more

    @property
    def was_cut(self) -> bool:
        """Whether the cut that was asked for has been made."""
        return self._cut is None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        ends = (writer, up_writer)
        try:
            pumps = (
                self._pump("request", reader, up_writer, ends),
                self._pump("reply", up_reader, writer, ends),
            )
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for end in ends:
                end.transport.abort()

    async def _pump(
        self,
        way: Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.silent:
                    continue
                left = self._left(way)
                self.passed[way] += len(data[:left])
                writer.write(data[:left])
                await writer.drain()
                if left is not None and len(data) >= left:
                    self._cut = None
                    break
        for end in ends:
            end.close()

    def _left(self, way: Way) -> int | None:
        """Bytes until the cut, None if there is none this way."""
        if self._cut is None or self._cut[0] != way:
            return None
        return self._cut[1] - self.passed[way]

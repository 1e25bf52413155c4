"""A proxy on a unix socket between client and Redis that loses replies on demand."""

import asyncio
import contextlib
from pathlib import Path

CHUNK = 65536


class CuttingProxy:
    """Passes bytes both ways; after `lose_replies(n)` the next n replies to scripts are lost.

    The script has run when its reply is lost: the request went through, the answer did not.
    """

    def __init__(self, upstream: Path, own: Path) -> None:
        self.upstream, self.own = upstream, own
        self.url = f"unix://{own}"
        self.lost = 0
        self._to_lose = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "CuttingProxy":
        self._server = await asyncio.start_unix_server(self._serve, self.own)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def lose_replies(self, n: int) -> None:
        self._to_lose = n

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
        script = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(reader, up_writer, script))
                both.create_task(self._replies(up_reader, writer, up_writer, script))
        except* OSError:
            pass
        finally:
            for end in (writer, up_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _requests(
        self, reader: asyncio.StreamReader, up: asyncio.StreamWriter, script: asyncio.Event
    ) -> None:
        while data := await reader.read(CHUNK):
            if b"EVAL" in data:
                script.set()
            up.write(data)
            await up.drain()
        up.close()

    async def _replies(
        self,
        up: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_writer: asyncio.StreamWriter,
        script: asyncio.Event,
    ) -> None:
        while data := await up.read(CHUNK):
            if script.is_set() and self._to_lose:
                self._to_lose -= 1
                self.lost += 1
                break
            writer.write(data)
            await writer.drain()
        writer.close()
        up_writer.close()

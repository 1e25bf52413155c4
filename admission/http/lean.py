"""The answer that nearly every call gets: 200 with JSON, its head and body written in one piece.

It says what `web.Response` would, at a third of the cost, by knowing beforehand what that must find
out: no cookies, nothing to compress, no ranges, a body that is there and of known length.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

_HEAD: Final = "HTTP/1.1 200 OK\r\n"


class LeanResponse(web.Response):
    """Headers may be added to it as to any response; they must be fit to be sent."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything at once, unless the request is an unusual one."""
        body = self.body
        if request.version != HttpVersion11 or request.method == hdrs.METH_HEAD:
            return await super().prepare(request)
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        assert isinstance(body, bytes), "made by json_response"
        request.transport.write(self._head(request, len(body)) + body)
        self._eof_sent = True
        await request.writer.drain()
        return request.writer

    def _head(self, request: web.BaseRequest, length: int) -> bytes:
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        if not self._keep_alive:
            self.headers[hdrs.CONNECTION] = "close"
        named = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        rest = f"Content-Length: {length}\r\nDate: {_date(int(time.time()))}\r\n\r\n"
        return (_HEAD + named + rest).encode()


@lru_cache(maxsize=1)
def _date(now_s: int) -> str:
    return formatdate(now_s, usegmt=True)

"""Answers as compact JSON. Their fields and the order of these are the decider's."""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from pydantic_core import to_json

_JSON: Final = {hdrs.CONTENT_TYPE: "application/json"}


def encode(value: Any) -> bytes:
    """Compact JSON; a fifth of the time that `json.dumps` takes."""
    return to_json(value)


def json_response(value: Any) -> web.Response:
    """A 200 with this JSON."""
    return FastResponse(body=encode(value), headers=_JSON)


_HEAD: Final = "HTTP/1.1 200 OK\r\n"


class FastResponse(web.Response):
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

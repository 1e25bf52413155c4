"""Responses as compact JSON, with the fields of the decider in its order."""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from pydantic_core import to_json

_HEAD: Final = "HTTP/1.1 200 OK\r\n"
_JSON: Final = {hdrs.CONTENT_TYPE: "application/json"}


def encode(value: Any) -> bytes:
    """Serialize to compact JSON, in a fifth of the time of `json.dumps`."""
    return to_json(value)


def json_response(value: Any) -> web.Response:
    """A 200 response with this JSON."""
    return json_bytes_response(encode(value))


def json_bytes_response(body: bytes) -> web.Response:
    """A 200 response with JSON that is serialized already."""
    return FastResponse(body=body, headers=_JSON)


class FastResponse(web.Response):
    """A 200 response that writes status, headers and body in one piece.

    aiohttp prepares and writes headers and body separately, which every admission would pay for.
    Header values are not checked for line breaks: they must come from this package.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the whole response at once; HTTP/1.0 and HEAD take aiohttp's own way."""
        body = self.body
        if request.version != HttpVersion11 or request.method == hdrs.METH_HEAD:
            return await super().prepare(request)
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client disconnected")
        assert isinstance(body, bytes), "json_response sets the body"
        request.transport.write(self._build_head(request, len(body)) + body)
        self._eof_sent = True
        await request.writer.drain()
        return request.writer

    def _build_head(self, request: web.BaseRequest, length: int) -> bytes:
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        if not self._keep_alive:
            self.headers[hdrs.CONNECTION] = "close"
        headers = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        rest = f"Content-Length: {length}\r\nDate: {_format_date(int(time.time()))}\r\n\r\n"
        return (_HEAD + headers + rest).encode()


@lru_cache(maxsize=1)
def _format_date(now_s: int) -> str:
    return formatdate(now_s, usegmt=True)

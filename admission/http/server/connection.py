"""Who hangs up while its ask is decided wants no grant: its handler is cancelled.

Only asks do that. A report counts once it was sent, though its dialer may not stay for the answer,
so the server's own cancellation of every handler stays off.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import hdrs, web

from admission.http.middleware import SERVER_NAME, X_REQUEST_ID, request_id_of
from admission.http.problems import malformed_request
from admission.http.server.timeouts import ConnectionTimeouts


class HangupProtocol(web.RequestHandler):
    """One connection, which tells a handler that its client is gone."""

    __slots__ = ("_connections_max", "_left_bytes", "_stuck_since", "_wire", "on_hangup")

    on_hangup: Callable[[], object] | None

    def __init__(
        self, manager: web.Server, *, connections_max: int = 1 << 20, **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._connections_max = connections_max

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client came."""
        self.on_hangup = None
        self._wire = cast(asyncio.Transport, transport)
        self._left_bytes, self._stuck_since = 0, self._loop.time()
        super().connection_made(transport)
        if self._manager is not None and len(self._manager.connections) > self._connections_max:
            self._wire.abort()

    def look(self, now: float, timeouts: ConnectionTimeouts) -> None:
        """End the connection, if its client is too slow to ask or to read."""
        left, before = self._wire.get_write_buffer_size(), self._left_bytes
        self._left_bytes = left
        if self._request_count == 0 and not left:  # since it was opened
            if now - self._stuck_since > timeouts.first_request_s:
                self._wire.abort()
        elif not left or left < before:
            self._stuck_since = now
        elif now - self._stuck_since > timeouts.reading_s:
            self._wire.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        if self.on_hangup is not None:
            self.on_hangup()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, before any handler, with a problem like all others."""
        response = malformed_request(status)
        response.headers[X_REQUEST_ID] = request_id_of(request)
        response.headers[hdrs.SERVER] = SERVER_NAME
        response.force_close()
        return response


def has_hung_up(request: web.Request) -> bool:
    """Is the client gone, so that an answer reaches nobody?"""
    return request.transport is None or request.transport.is_closing()


class CancelledOnHangup:
    """A block that cancels the current task if the client hangs up before it is through."""

    __slots__ = ("_protocol",)

    def __init__(self, request: web.Request) -> None:
        self._protocol = request.protocol

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if isinstance(self._protocol, HangupProtocol) and task is not None:
            self._protocol.on_hangup = task.cancel

    def __exit__(self, *_: object) -> None:
        if isinstance(self._protocol, HangupProtocol):
            self._protocol.on_hangup = None

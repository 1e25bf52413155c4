"""Connections that cancel an admission when their client disconnects.

Only admission requests and event streams are cancelled. A report is applied once it was sent, even
if its dialer does not wait for the answer, so aiohttp's cancellation of every handler stays off.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import hdrs, web

from admission.http.middleware import SERVER_NAME, X_REQUEST_ID, choose_request_id
from admission.http.problems import malformed_request
from admission.http.server.places import Places
from admission.http.server.timeouts import ConnectionTimeouts


class ServerConnection(web.RequestHandler):
    """One connection: notifies a handler of a disconnect, and enforces the time-outs."""

    __slots__ = (
        "_client",
        "_places",
        "_stalled_since",
        "_unsent_bytes",
        "address",
        "on_disconnect",
    )

    on_disconnect: Callable[[], object] | None

    def __init__(self, manager: web.Server, *, places: Places, **options: Any) -> None:
        super().__init__(manager, **options)
        self._places = places
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the transport, and take a place."""
        self.on_disconnect = None
        self._client = cast(asyncio.Transport, transport)
        self._unsent_bytes, self._stalled_since = 0, self._loop.time()
        super().connection_made(transport)
        peer = self._client.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._places.enter(self)

    @property
    def is_idle(self) -> bool:
        """Is no request being answered?"""
        return self._current_request is None

    def close_at_once(self) -> None:
        """Close the connection without an answer."""
        self._client.abort()

    def know_caller(self) -> None:
        """A caller proved a right: this connection gives way last."""
        self._places.know(self)

    def enforce_timeouts(self, now: float, timeouts: ConnectionTimeouts) -> None:
        """Abort the connection if its client is too slow to send or to read."""
        unsent, before = self._client.get_write_buffer_size(), self._unsent_bytes
        self._unsent_bytes = unsent
        if self._request_count == 0 and not unsent:  # since it was opened
            if now - self._stalled_since > timeouts.first_request_s:
                self._client.abort()
        elif not unsent or unsent < before:
            self._stalled_since = now
        elif now - self._stalled_since > timeouts.stalled_read_s:
            self._client.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client disconnected."""
        self._places.leave(self)
        if self.on_disconnect is not None:
            self.on_disconnect()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP with a problem, as handlers do."""
        response = malformed_request(status)
        response.headers[X_REQUEST_ID] = choose_request_id(request)
        response.headers[hdrs.SERVER] = SERVER_NAME
        response.force_close()
        return response


def has_disconnected(request: web.Request) -> bool:
    """Has the client disconnected, so that it receives no answer?"""
    return request.transport is None or request.transport.is_closing()


class CancelOnDisconnect:
    """A block that cancels the current task if the client disconnects before the block ends."""

    __slots__ = ("_protocol",)

    def __init__(self, request: web.Request) -> None:
        self._protocol = request.protocol

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if isinstance(self._protocol, ServerConnection) and task is not None:
            self._protocol.on_disconnect = task.cancel

    def __exit__(self, *_: object) -> None:
        if isinstance(self._protocol, ServerConnection):
            self._protocol.on_disconnect = None

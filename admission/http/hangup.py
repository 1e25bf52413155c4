"""Who hangs up while its ask is decided wants no grant: its handler is cancelled.

Only asks do that. A report counts once it was sent, though its dialer may not stay for the answer,
so the server's own cancellation of every handler stays off.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web

from admission.http.front import SERVER_NAME, X_REQUEST_ID, request_id_of
from admission.http.problems import malformed_request


class HangupProtocol(web.RequestHandler):
    """One connection, which tells a handler that its client is gone."""

    __slots__ = ("on_hangup",)

    on_hangup: Callable[[], object] | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client came."""
        self.on_hangup = None
        super().connection_made(transport)

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


@contextmanager
def cancelled_on_hangup(request: web.Request) -> Iterator[None]:
    """Cancel the current task if the client hangs up before the block is through."""
    protocol, task = request.protocol, asyncio.current_task()
    if not isinstance(protocol, HangupProtocol) or task is None:
        yield
        return
    protocol.on_hangup = task.cancel
    try:
        yield
    finally:
        protocol.on_hangup = None

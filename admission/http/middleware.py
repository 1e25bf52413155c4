"""The one wrapper around every handler: request id, credentials, problems, count."""

import re
import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from admission.http.auth.tokens import ANONYMOUS, Caller
from admission.http.context import APP_CONTEXT, CALLER, REQUEST_ID, AppContext
from admission.http.problems import Unauthorized, problem_of, problem_response
from admission.http.route import Route

X_REQUEST_ID: Final = "X-Request-ID"
SERVER_NAME: Final = "admission"
_SANE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
# What a route is called in metrics when there is none, and the status of a client that hung up.
_NO_ROUTE: Final = "none"
_HUNG_UP: Final = 499


@web.middleware
async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the request in, have it answered, and answer for whatever goes wrong."""
    context = request.app[APP_CONTEXT]
    request_id = request_id_of(request, context.ids.new_hex)
    request[REQUEST_ID] = request_id
    route = context.routes_by_handler.get(request.match_info.handler)
    status = _HUNG_UP
    try:
        try:
            if route is not None:
                _authorize(request, route, context)
            response = await handler(request)
        except Exception as error:
            response = problem_response(problem_of(error, request_id), error)
        status = response.status
    finally:
        context.telemetry.count_request(route.path if route else _NO_ROUTE, status)
    headers = response.headers
    headers[X_REQUEST_ID] = request_id
    headers[hdrs.SERVER] = SERVER_NAME
    if context.is_stopping:
        response.force_close()
    return response


def _authorize(request: web.Request, route: Route, context: AppContext) -> None:
    """Check who it is, whether it may, and whether it asks too fast.

    Who shows no token, or a wrong one, is counted by its address: so is guessing.
    """
    if route.roles is None or route.checks_credentials:
        if route.is_rate_limited:
            _count(request, None, context)
        return
    try:
        caller = context.credentials.caller(request.headers.get(hdrs.AUTHORIZATION))
    except Unauthorized:
        _count(request, None, context)
        raise
    _count(request, caller, context)
    caller.require_role(route.roles)
    request[CALLER] = caller


def _count(request: web.Request, caller: Caller | None, context: AppContext) -> None:
    rate = context.rate
    if rate.is_limited:
        is_known = caller is not None and caller is not ANONYMOUS
        rate.take(f"token {caller.name}" if caller and is_known else f"address {request.remote}")


def _random_id() -> str:
    return secrets.token_hex(8)


def request_id_of(request: web.BaseRequest, new_id: Callable[[], str] = _random_id) -> str:
    """The caller's own id for this request, if it is fit for a log line; else a new one."""
    given = request.headers.get(X_REQUEST_ID)
    return given if given and _SANE_ID.fullmatch(given) else new_id()

"""The middleware of every request: request id, credentials, rate limit, problems, metrics."""

import logging
import re
import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from admission.http.auth.tokens import ANONYMOUS, SEND_TOKEN
from admission.http.charges import count_request, mark_known
from admission.http.context import APP_CONTEXT, CALLER, REQUEST_ID, AppContext
from admission.http.problems import Unauthorized, build_problem, problem_response
from admission.http.route import Route

audit: Final = logging.getLogger("admission.audit")
_READING: Final = (hdrs.METH_GET, hdrs.METH_HEAD)

X_REQUEST_ID: Final = "X-Request-ID"
SERVER_NAME: Final = "admission"
_VALID_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
# In metrics: the path of a request without a route, and nginx's status of a client that
# disconnected before the answer.
_NO_ROUTE: Final = "none"
_CLIENT_CLOSED_REQUEST: Final = 499


@web.middleware
async def handle_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Authorize the request, call its handler, and turn an exception into a problem response."""
    context = request.app[APP_CONTEXT]
    request_id = choose_request_id(request, context.ids.new_hex)
    request[REQUEST_ID] = request_id
    route = context.routes_by_handler.get(request.match_info.handler)
    status = _CLIENT_CLOSED_REQUEST
    try:
        try:
            _check_origin(request, context)
            if route is not None:
                _authorize(request, route, context)
            response = await handler(request)
        except Exception as error:
            if isinstance(error, Unauthorized):
                _log_refusal(request, error, context)
            response = problem_response(build_problem(error, request_id), error)
        status = response.status
        _log_change(request, status)
    finally:
        context.telemetry.count_request(route.path if route else _NO_ROUTE, status)
    headers = response.headers
    headers[X_REQUEST_ID] = request_id
    headers[hdrs.SERVER] = SERVER_NAME
    if context.is_stopping:
        response.force_close()
    return response


def _log_refusal(request: web.Request, error: Unauthorized, context: AppContext) -> None:
    """Log a refused token, at a bounded rate; the metric of requests counts all of them."""
    reason = "no token" if error.detail == SEND_TOKEN else error.detail
    context.refusals.warning(
        "refused %s %s of %s: %s",
        request.method,
        request.path[:100],
        context.addresses.of(request),
        reason,
    )


def _log_change(request: web.Request, status: int) -> None:
    """Log a change that an operator made, where the log has the audit too (`log.audit`)."""
    if status != 200 or not audit.isEnabledFor(logging.INFO) or request.method in _READING:
        return
    caller = request.get(CALLER)
    if caller is None or caller is ANONYMOUS or caller.audit_name is None:
        return
    target, action = dict(request.match_info), request.path.rpartition("/")[2]
    named = (target[name] for name in ("zone", "pool", "id") if name in target)
    audit.info("%s", " ".join([action, *named, "by", caller.audit_name]))


def _check_origin(request: web.Request, context: AppContext) -> None:
    """Refuse what a page of another origin sends, at every path."""
    if not context.credentials.configured:
        context.origin.require_own_host(request)
    context.origin.require_own_origin(request)


def _authorize(request: web.Request, route: Route, context: AppContext) -> None:
    """Check token, role and request rate.

    A request without a valid token is counted by its address, which limits guessing.
    """
    if route.roles is None or route.checks_credentials:
        return  # its handler counts what proves no right
    try:
        caller = context.credentials.authenticate(request.headers.get(hdrs.AUTHORIZATION))
    except Unauthorized:
        count_request(request, None, context)
        raise
    count_request(request, caller, context)
    mark_known(request)
    caller.require_role(route.roles)
    request[CALLER] = caller


def _generate_id() -> str:
    return secrets.token_hex(8)


def choose_request_id(request: web.BaseRequest, new_id: Callable[[], str] = _generate_id) -> str:
    """The caller's id of this request if it is safe in a log line, else a new one."""
    given = request.headers.get(X_REQUEST_ID)
    return given if given and _VALID_ID.fullmatch(given) else new_id()

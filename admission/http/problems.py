"""Errors as `application/problem+json` (RFC 9457), for a response or for one result of a batch.

exception                    becomes
AdmissionError               its own status, title and detail, which are safe to return
web.HTTPException            what aiohttp refuses: 404, 405, 413 ...
anything else                500 without details, which are in the log
"""

import logging
import math
from typing import Any, Final, TypeAlias

from aiohttp import hdrs, web

from admission.errors import AdmissionError, BadRequest, CallerError, Invalid, TooFast, Unavailable
from admission.http.responses import encode

log = logging.getLogger(__name__)

Problem: TypeAlias = dict[str, Any]

# RFC 9457, 4.2.1: about:blank is a problem whose meaning is that of its status.
_TYPE: Final = "about:blank"
ERRORS_MAX: Final = 20
_FIELD_CHARS_MAX: Final = 100
_HTTP_DETAILS: Final[dict[int, tuple[str, str]]] = {
    404: ("Not found", "There is nothing at this path."),
    405: ("Method not allowed", "This path does not take this method; see Allow."),
    413: ("Content too large", "A body may have at most 1 MiB."),
}


class Unauthorized(CallerError):
    """The request has no credentials, or unknown ones."""

    status = 401
    title = "Unauthorized"


class UnsupportedMediaType(CallerError):
    """The body has a media type that the route does not accept."""

    status = 415
    title = "Unsupported media type"


def build_problem(error: BaseException, request_id: str) -> Problem:
    """Describe the error as a problem; an unexpected one is logged under `request_id`."""
    if isinstance(error, AdmissionError) and error.status < 500:
        return _caller_problem(error)
    if isinstance(error, Unavailable):
        return _problem(error.status, error.title, error.detail) | _retry_after(error.retry_after_s)
    if isinstance(error, web.HTTPException):
        title, detail = _HTTP_DETAILS.get(error.status, (error.reason, error.reason))
        return _problem(error.status, title, detail)
    log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    return _problem(500, "Internal error", f"See the service's log for request {request_id}.")


def problem_response(problem: Problem, error: BaseException | None = None) -> web.Response:
    """The response with the problem, and the headers that belong to its status."""
    headers = {hdrs.CONTENT_TYPE: "application/problem+json"}
    if "retry_after_ms" in problem:
        headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(problem["retry_after_ms"] / 1000)))
    if isinstance(error, Unauthorized):
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    return web.Response(status=problem["status"], body=encode(problem), headers=headers)


def malformed_request(status: int) -> web.Response:
    """The response to what is not HTTP, or has headers too long, and reaches no handler."""
    error = BadRequest("This is not a well-formed HTTP request.")
    return problem_response(_problem(status, error.title, error.detail))


def _problem(status: int, title: str, detail: str) -> Problem:
    return {"type": _TYPE, "title": title, "status": status, "detail": detail}


def _retry_after(retry_after_s: float) -> Problem:
    # A result of a batch has no header of its own.
    return {"retry_after_ms": math.ceil(retry_after_s * 1000)}


def _caller_problem(error: AdmissionError) -> Problem:
    if isinstance(error, Invalid):
        listed = error.errors[:ERRORS_MAX]
        errors = [{"field": e.field[:_FIELD_CHARS_MAX], "message": e.message} for e in listed]
        detail = "One or more fields are invalid." if errors else error.detail
        return _problem(error.status, error.title, detail) | {"errors": errors}
    problem = _problem(error.status, error.title, error.detail)
    return problem | _retry_after(error.retry_after_s) if isinstance(error, TooFast) else problem

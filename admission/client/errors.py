"""The exceptions of the client, read from the answers of the service (see `admission.errors`).

AdmissionError
├── NotAdmitted                  denied, where the caller needs a grant to continue
├── CallerError                  the request is wrong: 400 401 403 404 409 412 413 415 422 429
└── Unavailable                  no answer, or the service cannot decide now: never a grant
"""

from collections.abc import Mapping
from typing import Any, Final

from admission.client.answers import Denied
from admission.errors import (
    AdmissionError,
    BadRequest,
    CallerError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooFast,
    Unavailable,
)

RETRY_AFTER_S: Final = 1.0
_KINDS: Final[dict[int, type[CallerError]]] = {
    400: BadRequest,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
}


class NotAdmitted(AdmissionError):
    """The launch was denied until the patience of the dialer was over.

    Args: answer: the last denial.
    """

    title = "Not admitted"

    def __init__(self, answer: Denied) -> None:
        super().__init__(answer.said)
        self.answer = answer


def read_fault(status: int, body: Mapping[str, Any], retry_after: str | None) -> AdmissionError:
    """Return the exception for a response with another status than 200.

    Args:
        status: of the response; 3xx and 5xx are `Unavailable`.
        body: the problem (RFC 9457); empty if the body is no JSON object.
        retry_after: the header Retry-After, in seconds.
    """
    detail = str(body.get("detail") or body.get("title") or f"status {status}")
    if status == 422:
        errors = [
            _read_field_error(one) for one in body.get("errors") or () if isinstance(one, dict)
        ]
        fields = "; ".join(f"{one.field}: {one.message}" for one in errors)
        return Invalid(*errors, detail=fields or detail)
    if status == 429:
        return TooFast(detail, retry_after_s=_read_retry_after_s(body, retry_after))
    if 400 <= status < 500:
        fault = _KINDS.get(status, CallerError)(detail)
        fault.status = status
        return fault
    unavailable = Unavailable(detail, retry_after_s=_read_retry_after_s(body, retry_after))
    if body:  # a problem of the service itself, no page of a proxy
        unavailable.status = status
    return unavailable


def _read_field_error(one: Mapping[str, Any]) -> FieldError:
    return FieldError(field=str(one.get("field", "body")), message=str(one.get("message", "")))


def _read_retry_after_s(body: Mapping[str, Any], retry_after: str | None) -> float:
    exact = body.get("retry_after_ms")
    if isinstance(exact, int):
        return max(0.0, exact / 1000)
    return float(retry_after) if retry_after and retry_after.isdecimal() else RETRY_AFTER_S

"""What the client raises: the exceptions of `admission.errors`, read from the service's answers.

AdmissionError
├── NotAdmitted                  denied, where a grant was needed to go on
├── CallerError                  ours to mend: 400 401 403 404 409 412 413 415 422 429
└── Unavailable                  nobody answers there, or it cannot decide now: never a grant
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
    """The launch was denied for as long as its dialer had patience.

    Args: answer: the last denial.
    """

    title = "Not admitted"

    def __init__(self, answer: Denied) -> None:
        super().__init__(answer.said)
        self.answer = answer


def read_fault(status: int, body: Mapping[str, Any], retry_after: str | None) -> AdmissionError:
    """The exception for an answer that is no 200.

    Args:
        status: of the answer; 5xx, and what is no answer of this service, is `Unavailable`.
        body: its problem (RFC 9457), as far as it is one.
        retry_after: the header, in seconds.
    """
    detail = str(body.get("detail") or body.get("title") or f"status {status}")
    if status == 422:
        errors = [_field(one) for one in body.get("errors") or () if isinstance(one, dict)]
        said = "; ".join(f"{one.field}: {one.message}" for one in errors)
        return Invalid(*errors, detail=said or detail)
    if status == 429:
        return TooFast(detail, retry_after_s=_seconds(body, retry_after))
    if 400 <= status < 500:
        fault = _KINDS.get(status, CallerError)(detail)
        fault.status = status
        return fault
    unavailable = Unavailable(detail, retry_after_s=_seconds(body, retry_after))
    if body:  # a problem of the service itself, no page of a proxy
        unavailable.status = status
    return unavailable


def _field(one: Mapping[str, Any]) -> FieldError:
    return FieldError(field=str(one.get("field", "body")), message=str(one.get("message", "")))


def _seconds(body: Mapping[str, Any], retry_after: str | None) -> float:
    exact = body.get("retry_after_ms")
    if isinstance(exact, int):
        return max(0.0, exact / 1000)
    return float(retry_after) if retry_after and retry_after.isdecimal() else RETRY_AFTER_S

"""The exceptions of this project, by who can repair the fault, with their HTTP status.

    AdmissionError
    ├── CallerError                  the caller can repair it
    │   ├── BadRequest        400    not JSON
    │   ├── Unauthorized      401    no valid credentials (http/problems.py)
    │   ├── Forbidden         403    not this campaign, zone or role
    │   ├── NotFound          404    unknown zone, pool, reservation, campaign
    │   ├── Conflict          409    same request_id, other body
    │   ├── PreconditionFailed 412   the policy is of another version than If-Match says
    │   ├── UnsupportedMediaType 415    a body that is not JSON (http/problems.py)
    │   ├── Invalid           422    a field is wrong
    │   └── TooFast           429    this caller exceeds its request rate
    ├── Unavailable           503    the service: the store, the schema, overload, shutdown
    ├── SourceError                  the platform returned no snapshot
    └── ConfigError                  the operator can repair it: at start, never over HTTP
        └── InvalidSettings          with every error and its place (config/load.py)

A denial is an answer, not an exception.
"""

from dataclasses import dataclass


class AdmissionError(Exception):
    """Base of all exceptions of this project. `detail` may be shown to the caller."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class CallerError(AdmissionError):
    """The caller can repair the request."""

    status = 400
    title = "Bad request"


class BadRequest(CallerError):
    """The body has a form that this endpoint does not read."""


class Forbidden(CallerError):
    """These credentials do not reach that campaign, zone or call."""

    status = 403
    title = "Forbidden"


class NotFound(CallerError):
    """There is no such zone, pool, reservation or campaign."""

    status = 404
    title = "Not found"


class Conflict(CallerError):
    """The same request_id came with another body."""

    status = 409
    title = "Conflict"


class PreconditionFailed(CallerError):
    """The resource is not of the version that the request replaces."""

    status = 412
    title = "Precondition failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One invalid field: its dotted path and a message."""

    field: str
    message: str


class Invalid(CallerError):
    """One or more fields are invalid."""

    status = 422
    title = "Unprocessable content"

    def __init__(self, *errors: FieldError, detail: str = "") -> None:
        super().__init__(detail or "; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = errors


class TooFast(CallerError):
    """This caller exceeds its own request rate.

    Args: retry_after_s: seconds after which the caller may try again.
    """

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(AdmissionError):
    """The service cannot decide now: store unreachable, zone overloaded, or shutdown.

    Args: retry_after_s: seconds after which a new attempt makes sense.
    """

    status = 503
    title = "Service unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class SourceError(AdmissionError):
    """A platform gave no usable snapshot; `detail` is one line for the operator."""

    status = 502
    title = "Platform did not answer"


class ConfigError(AdmissionError):
    """A setting is wrong; `detail` says where."""

    title = "Configuration error"

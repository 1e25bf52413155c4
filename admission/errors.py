"""What can go wrong, whose fault it is, and the HTTP status that says so.

    AdmissionError
    ├── CallerError                  the caller's fault
    │   ├── BadRequest        400    not JSON
    │   ├── Unauthorized      401    no valid credentials (http/problems.py)
    │   ├── Forbidden         403    not this campaign, zone or role
    │   ├── NotFound          404    unknown zone, pool, reservation, campaign
    │   ├── Conflict          409    same request_id, other body
    │   ├── PreconditionFailed 412   the policy is of another version than If-Match says
    │   ├── UnsupportedMediaType 415    a body that is not JSON (http/problems.py)
    │   ├── Invalid           422    a field is wrong
    │   └── TooFast           429    this caller asks too fast
    ├── Unavailable           503    ours: the store, the schema, shutting down
    ├── SourceError                  upstream's: the platform did not give a snapshot
    └── ConfigError                  the operator's: at start, never over HTTP
        └── InvalidSettings          with every error and its place (config/load.py)

A denial is not here: it is an answer.
"""

from dataclasses import dataclass


class AdmissionError(Exception):
    """Anything this project raises on purpose. `detail` is safe to show to the caller."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class CallerError(AdmissionError):
    """The caller can mend it."""

    status = 400
    title = "Bad request"


class BadRequest(CallerError):
    """The body is not what this endpoint reads."""


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
    """What was to be replaced is not what is there."""

    status = 412
    title = "Precondition failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One wrong field: its dotted path and what is wrong with it."""

    field: str
    message: str


class Invalid(CallerError):
    """One or more fields are wrong."""

    status = 422
    title = "Unprocessable content"

    def __init__(self, *errors: FieldError, detail: str = "") -> None:
        super().__init__(detail or "; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = errors


class TooFast(CallerError):
    """This caller exceeds its own request limit.

    Args: retry_after_s: seconds after which it may ask again.
    """

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(AdmissionError):
    """The service cannot decide now: the store is out of reach, or it is shutting down.

    Args: retry_after_s: seconds after which asking again makes sense.
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

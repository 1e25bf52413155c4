"""One route: who may call it, what it takes and gives."""

from dataclasses import dataclass
from typing import Final

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.http.auth.tokens import Role
from admission.http.parsing import JSON

EVERYBODY: Final = None
OPERATOR: Final[frozenset[Role]] = frozenset()
DIALER: Final = frozenset({Role.DIALER})
SOURCE: Final = frozenset({Role.SOURCE})
VIEWER: Final = frozenset({Role.VIEWER})
DIALER_OR_VIEWER: Final = DIALER | VIEWER
EVERY_ROLE: Final = frozenset(Role)

# Faults that a caller of any route with credentials may meet, and those of a route with a body.
CALLER_FAULTS: Final = (401, 403, 429, 503)
BODY_FAULTS: Final = (400, 413, 415, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    Args:
        roles: who may call it beside an operator; None: everybody, without credentials.
        answer: model of the 200, or its media type where it is not JSON.
        body_required: False: no body means `{}`.
        body_types: media types as which the body may be sent.
        form: the body as a form, where that is taken too.
        checks_credentials: the handler looks at the credentials itself.
        etag: the answer has one; with a body, the request may have If-Match.
        faults: statuses of the problems it may answer.
    """

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role] | None
    tag: str
    summary: str
    answer: type[BaseModel] | str
    body: type[BaseModel] | None = None
    body_required: bool = True
    body_types: tuple[str, ...] = (JSON,)
    form: type[BaseModel] | None = None
    checks_credentials: bool = False
    etag: bool = False
    query: type[BaseModel] | None = None
    faults: tuple[int, ...] = CALLER_FAULTS

    @property
    def is_rate_limited(self) -> bool:
        """Does the caller's own rate limit apply? Without a token its address is counted."""
        return 429 in self.faults

"""The description of one route: roles, request, response and errors."""

from dataclasses import dataclass
from typing import Final

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.domain.types import Role
from admission.http.parsing import JSON

ANYONE: Final = None
OPERATOR: Final[frozenset[Role]] = frozenset()
DIALER: Final = frozenset({Role.DIALER})
SOURCE: Final = frozenset({Role.SOURCE})
VIEWER: Final = frozenset({Role.VIEWER})
DIALER_OR_VIEWER: Final = DIALER | VIEWER
EVERY_ROLE: Final = frozenset(Role)

# Statuses of the errors of any route with credentials, and of a route with a body.
CALLER_FAULTS: Final = (401, 403, 429, 503)
BODY_FAULTS: Final = (400, 413, 415, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    Args:
        roles: roles that may call it beside the operator; None: public, without credentials.
        tag: section of the description that lists it.
        answer: model of the 200 response, or its media type where it is not JSON.
        body_required: False: an absent body is read as `{}`.
        body_types: accepted media types of the body.
        form: model of the body as a form, where forms are accepted too.
        checks_credentials: the handler checks the credentials, not the middleware.
        etag: the response has an ETag; with a body, the request may have If-Match.
        query: model of the query parameters.
        faults: statuses of the problems that the route may answer.
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

"""The audit log: what was changed manually, and by which operator."""

from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from admission.http.parsing import once_each, validate
from admission.http.responses import json_response
from admission.http.schemas.base import Response, ZoneTime
from admission.http.scope import find_zone_in_path

PAGE_MAX: Final = 1000


class AuditQuery(BaseModel):
    """The query of `GET /v1/zones/{zone}/audit`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 100
    before: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}-[0-9]{1,15}$")] | None = None
    """Only entries older than the one with this id."""


class AuditEntry(Response):
    """One manual change."""

    id: str
    time: ZoneTime
    actor: str
    """Name of the operator's token, or the part of the service that made the change by itself."""
    action: Literal[
        "begin", "policy", "pause", "resume", "limit", "end", "clear_aside", "recount",
        "rotate", "adopt", "adoption_refused",
    ]  # fmt: skip
    """By the ledger itself: `recount`: it corrected a count; `adopt`, `adoption_refused`: a dialer
    restated a reservation, the 1st, 10th, 100th ... since the last loss."""
    target: str | None
    """A pool, or a reservation; null: the whole zone."""
    detail: dict[str, Any]


class AuditPage(Response):
    """Manual changes, the newest first; the next page has `before` = the last id."""

    now: ZoneTime
    zone: str
    entries: list[AuditEntry]


async def list_entries(request: web.Request) -> web.Response:
    """`GET /v1/zones/{zone}/audit`."""
    zone = find_zone_in_path(request)
    query = validate(AuditQuery, once_each(request))
    return json_response(await zone.list_audit_entries(query.limit, query.before))

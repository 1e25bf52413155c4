"""Queries of reservations: one, and pages of them."""

from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from admission.domain import Name
from admission.domain.types import Text
from admission.http.context import CALLER
from admission.http.parsing import once_each, validate
from admission.http.responses import json_response
from admission.http.route import (
    CALLER_FAULTS,
    DIALER,
    DIALER_OR_VIEWER,
    Route,
)
from admission.http.schemas import responses
from admission.http.scope import find_zone_of_id, find_zone_or_default

PAGE_MAX: Final = 1000


class ReservationQuery(BaseModel):
    """The query of `GET /v1/reservations`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    zone: Name | None = None
    """Absent: the configured default zone."""
    campaign: Name | None = None
    owner: Text | None = None
    state: Literal["live", "ended", "expired"] | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 100
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")] = "0"
    """`cursor` of the previous page; 0: the first page."""


async def get_reservation(request: web.Request) -> web.Response:
    """`GET /v1/reservations/{id}`."""
    reservation_id = request.match_info["id"]
    zone = find_zone_of_id(request, reservation_id)
    scope = request[CALLER].scope
    return json_response(await zone.get_reservation(reservation_id, scope))


async def list_reservations(request: web.Request) -> web.Response:
    """`GET /v1/reservations`: a page may be short, or even empty, without being the last."""
    query = validate(ReservationQuery, once_each(request))
    zone = find_zone_or_default(request, query.zone)
    if query.campaign is not None:
        request[CALLER].require_campaign(query.campaign)
    filters = query.model_dump(exclude={"zone"}, exclude_none=True)
    if (scope := request[CALLER].scope) is not None:
        filters["scope"] = scope
    return json_response(await zone.list_reservations(**filters))


RESERVATION_ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/reservations/{id}",
        handler=get_reservation,
        roles=DIALER,
        tag="Reservations",
        summary="One reservation: its times, pools, state and outcome",
        answer=responses.Reservation,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="GET",
        path="/v1/reservations",
        handler=list_reservations,
        roles=DIALER_OR_VIEWER,
        tag="Reservations",
        summary="Pages of reservations; a dialer sees those of its campaigns",
        answer=responses.ReservationPage,
        query=ReservationQuery,
        faults=(*CALLER_FAULTS, 404, 422),
    ),
)

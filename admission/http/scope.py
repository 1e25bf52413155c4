"""What a request is about: its zone and reservation, checked against the caller's lists."""

import re
from typing import Final

from aiohttp import web

from admission.domain.types import RESERVATION_ID
from admission.errors import FieldError, Invalid, NotFound
from admission.http.context import APP_CONTEXT, CALLER

_RESERVATION_ID: Final = re.compile(RESERVATION_ID)


def known_zone(request: web.Request, zone: str) -> str:
    """That zone; raises `Forbidden` or `NotFound`.

    The caller's list is checked first: nobody learns here which zones others have.
    """
    request[CALLER].require_zone(zone)
    if zone not in request.app[APP_CONTEXT].decider.zones():
        raise NotFound("There is no such zone.")
    return zone


def asked_zone(request: web.Request, zone: str | None) -> str:
    """The zone that was named, else the default; raises like `known_zone`, or `Invalid`."""
    zone = zone or request.app[APP_CONTEXT].default_zone
    if zone is None:
        raise Invalid(FieldError(field="zone", message="No default zone is configured: name one"))
    return known_zone(request, zone)


def zone_in_path(request: web.Request) -> str:
    """The `{zone}` of the path."""
    return known_zone(request, request.match_info["zone"])


def zone_of_id(request: web.Request, reservation_id: str) -> str:
    """The zone that a reservation id carries before its `~`; a malformed id is an unknown one."""
    if not _RESERVATION_ID.fullmatch(reservation_id):
        raise NotFound("There is no such reservation.")
    return known_zone(request, reservation_id.partition("~")[0])

"""The zone of a request, checked against the caller's scope."""

import re
from typing import Final

from aiohttp import web

from admission.domain.types import RESERVATION_ID
from admission.errors import FieldError, Invalid, NotFound
from admission.http.context import APP_CONTEXT, CALLER
from admission.http.decider import Zone

_RESERVATION_ID: Final = re.compile(RESERVATION_ID)


def find_zone(request: web.Request, name: str) -> Zone:
    """The zone of that name; raises `Forbidden` or `NotFound`.

    The caller's scope is checked first, so that the answer does not reveal the zones of others.
    """
    request[CALLER].require_zone(name)
    return request.app[APP_CONTEXT].decider.zone(name)


def find_zone_or_default(request: web.Request, name: str | None) -> Zone:
    """The named zone, or the default if none is named; raises like `find_zone`, or `Invalid`."""
    name = name or request.app[APP_CONTEXT].default_zone
    if name is None:
        raise Invalid(
            FieldError(field="zone", message="No default zone is configured: name a zone")
        )
    return find_zone(request, name)


def find_zone_in_path(request: web.Request) -> Zone:
    """The `{zone}` of the path."""
    return find_zone(request, request.match_info["zone"])


def find_zone_of_id(request: web.Request, reservation_id: str) -> Zone:
    """The zone of a reservation id, before its `~`; a malformed id is an unknown one."""
    if not _RESERVATION_ID.fullmatch(reservation_id):
        raise NotFound("There is no such reservation.")
    return find_zone(request, reservation_id.partition("~")[0])

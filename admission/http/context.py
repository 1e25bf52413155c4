"""What handlers find on the application and on a request, by typed keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler

from admission.http.auth.rate_limit import RequestRate
from admission.http.auth.tokens import Caller, Credentials
from admission.http.decider import Decider
from admission.http.ids import Ids
from admission.http.route import Route
from admission.telemetry.metrics import Telemetry

if TYPE_CHECKING:
    pass


@dataclass(slots=True)
class Lifecycle:
    """Whether this process is on its way out: then it is not ready, though it still answers."""

    stopping: bool = False


Routes: TypeAlias = Mapping[Handler, Route]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What the front looks at for every request, found with one look-up instead of six."""

    ids: Ids
    routes_by_handler: Routes
    credentials: Credentials
    rate: RequestRate
    telemetry: Telemetry
    lifecycle: Lifecycle


# Where the type is no class (a Protocol, an alias), the annotation alone says it.
DECIDER: web.AppKey[Decider] = web.AppKey("decider")

CREDENTIALS = web.AppKey("credentials", Credentials)

TELEMETRY = web.AppKey("telemetry", Telemetry)

LIFECYCLE = web.AppKey("lifecycle", Lifecycle)

ROUTES: web.AppKey[Routes] = web.AppKey("routes_by_handler")

REQUEST_CONTEXT = web.AppKey("request_context", RequestContext)

DEFAULT_ZONE: web.AppKey[str | None] = web.AppKey("default_zone")

RATE = web.AppKey("rate", RequestRate)

IDS = web.AppKey("ids", Ids)

CALLER = web.RequestKey("caller", Caller)

REQUEST_ID = web.RequestKey("request_id", str)

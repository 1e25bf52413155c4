"""What handlers find on the application and on a request, by typed keys."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from admission.http.auth.client_address import ClientAddresses
from admission.http.auth.origin import OriginCheck
from admission.http.auth.rate_limit import RequestRate
from admission.http.auth.report_links import ReportLinks
from admission.http.auth.tokens import Caller, Credentials
from admission.http.auth.zone_keys import ZoneKeys
from admission.http.decider import Decider
from admission.http.events.feed import Feed
from admission.http.ids import Ids
from admission.http.openapi.description import Description
from admission.http.route import Route
from admission.tasks import TimeSlices
from admission.telemetry import RareLog, Telemetry

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class AppContext:
    """What the middleware and the handlers of one application share, found with one look-up.

    Args:
        decider: makes the decisions.
        credentials: the tokens of callers.
        origin: refuses what pages of other origins send.
        addresses: finds the addresses of clients.
        rate: the request rate of each caller.
        link_rate: the rate of reports by the link of each reservation.
        telemetry: counts requests, decisions and reports.
        ids: generates ids.
        routes_by_handler: the route that a handler serves.
        default_zone: zone of a request that names none; None: a request must name its zone.
        feed: statuses of zones for clients that follow them.
        report_links: signs and verifies `report_url`s.
        zone_keys: checks what the keys of a zone signed.
        description: the OpenAPI document.
        refusals: logs refused tokens at a bounded rate.
        slices: in which batches share the event loop with single requests.
        is_stopping: the process shuts down: not ready, though requests are still answered.
    """

    decider: Decider
    credentials: Credentials
    origin: OriginCheck
    addresses: ClientAddresses
    rate: RequestRate
    link_rate: RequestRate
    telemetry: Telemetry
    ids: Ids
    routes_by_handler: Mapping[Handler, Route]
    default_zone: str | None
    feed: Feed
    report_links: ReportLinks
    zone_keys: ZoneKeys
    description: Description
    refusals: RareLog = field(default_factory=lambda: RareLog(log))
    slices: TimeSlices = field(default_factory=TimeSlices)
    is_stopping: bool = False


APP_CONTEXT = web.AppKey("context", AppContext)
CALLER = web.RequestKey("caller", Caller)
# Whom a request counts against: a token or an address.
CALLER_KEY = web.RequestKey("caller_key", str)
REQUEST_ID = web.RequestKey("request_id", str)

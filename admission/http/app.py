"""The application: routes, the front before them, and what they need."""

from aiohttp import web

from admission import __version__
from admission.http.auth.rate_limit import RequestRate
from admission.http.auth.report_links import REPORT_LINKS, ReportLinks
from admission.http.auth.tokens import Credentials
from admission.http.context import (
    CREDENTIALS,
    DECIDER,
    DEFAULT_ZONE,
    IDS,
    LIFECYCLE,
    RATE,
    REQUEST_CONTEXT,
    ROUTES,
    TELEMETRY,
    Lifecycle,
    RequestContext,
)
from admission.http.decider import Decider
from admission.http.events.feed import FEED, Feed
from admission.http.ids import Ids
from admission.http.middleware import front
from admission.http.openapi.description import DESCRIPTION, Description
from admission.http.openapi.document import describe
from admission.http.parsing import BODY_BYTES_MAX
from admission.http.routes import add_routes, routes, routes_by_handler
from admission.telemetry.metrics import Telemetry


def create_app(
    decider: Decider,
    *,
    credentials: Credentials | None = None,
    telemetry: Telemetry | None = None,
    default_zone: str | None = None,
    metrics_public: bool = False,
    event_clients: int = 100,
    public_url: str = "",
    requests_per_s: float = 0,
) -> web.Application:
    """The HTTP side of the service, to be run with `admission.http.server.serve.serve_app`.

    Whoever opens and closes the decider's resources appends to `app.cleanup_ctx`.

    Args:
        decider: who decides; started by the time of the first request.
        credentials: none, or none configured: one anonymous caller who may all.
        telemetry: shared with the pollers; one of its own by default.
        default_zone: the zone of an ask that names none; None: it must name one.
        metrics_public: /metrics needs no credentials.
        event_clients: how many may follow /v1/events at once.
        requests_per_s: of one caller, in this process; 0: no limit.
        public_url: what a `report_url` begins with; empty: as each request was addressed.
    """
    app = web.Application(middlewares=[front], client_max_size=BODY_BYTES_MAX)
    served = routes(metrics_public=metrics_public)
    add_routes(app.router, served)
    app[DECIDER] = decider
    app[IDS] = Ids()
    app[CREDENTIALS] = credentials or Credentials()
    app[TELEMETRY] = telemetry or Telemetry()
    app[LIFECYCLE] = Lifecycle()
    app[RATE] = RequestRate(requests_per_s)
    app[DEFAULT_ZONE] = default_zone
    app[FEED] = Feed(decider.status, clients_max=event_clients)
    app.on_shutdown.extend((_stop_waiting, _end_events))
    app[ROUTES] = routes_by_handler(served)
    app[REQUEST_CONTEXT] = _request_context(app)
    app[REPORT_LINKS] = ReportLinks(decider, public_url)
    app[DESCRIPTION] = Description(lambda: describe(served, __version__))
    return app


def _request_context(app: web.Application) -> RequestContext:
    return RequestContext(
        ids=app[IDS],
        routes_by_handler=app[ROUTES],
        credentials=app[CREDENTIALS],
        rate=app[RATE],
        telemetry=app[TELEMETRY],
        lifecycle=app[LIFECYCLE],
    )


async def _stop_waiting(app: web.Application) -> None:
    await app[DECIDER].stop_waiting()


async def _end_events(app: web.Application) -> None:
    await app[FEED].close()

"""The aiohttp application: routes, middleware and the context that they share."""

from typing import Final

from aiohttp import web

from admission import __version__
from admission.http.auth.client_address import ClientAddresses
from admission.http.auth.origin import OriginCheck
from admission.http.auth.rate_limit import RequestRate
from admission.http.auth.report_links import ReportLinks
from admission.http.auth.tokens import Credentials
from admission.http.auth.zone_keys import ZoneKeys
from admission.http.context import APP_CONTEXT, AppContext
from admission.http.decider import Decider
from admission.http.events.feed import Feed
from admission.http.ids import Ids
from admission.http.middleware import handle_request
from admission.http.openapi.description import Description
from admission.http.openapi.document import describe
from admission.http.parsing import BODY_BYTES_MAX
from admission.http.routes import add_routes, routes, routes_by_handler
from admission.telemetry import Telemetry

# Reports on one reservation by its link; a call has a handful.
LINK_REPORTS_PER_S: Final = 100


def create_app(
    decider: Decider,
    *,
    credentials: Credentials | None = None,
    telemetry: Telemetry | None = None,
    default_zone: str | None = None,
    metrics_public: bool = False,
    event_clients: int = 100,
    public_url: str = "",
    host_names: frozenset[str] = frozenset(),
    requests_per_s: float = 0,
    trusted_proxies: tuple[str, ...] = (),
) -> web.Application:
    """Create the application, to be run with `admission.http.server.serve.serve_app`.

    The owner of the decider's resources opens and closes them in `app.cleanup_ctx`.

    Args:
        decider: makes the decisions; started before the first request.
        credentials: tokens; without any, every caller is anonymous and has all rights.
        telemetry: shared with the pollers; by default a new one.
        default_zone: zone of a request that names none; None: a request must name its zone.
        metrics_public: /metrics needs no credentials.
        event_clients: most clients of /v1/events at a time.
        public_url: start of every `report_url`; empty: scheme and host of each request.
        host_names: further names of this service, which clients without tokens may use as Host.
        requests_per_s: request rate of one caller in this process; 0: no limit.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed.
    """
    zone_keys = ZoneKeys()
    app = web.Application(middlewares=[handle_request], client_max_size=BODY_BYTES_MAX)
    served = routes(metrics_public=metrics_public)
    add_routes(app.router, served)
    app[APP_CONTEXT] = AppContext(
        decider=decider,
        credentials=credentials or Credentials(),
        origin=OriginCheck(host_names, public_url),
        addresses=ClientAddresses(trusted_proxies),
        rate=RequestRate(requests_per_s),
        link_rate=RequestRate(LINK_REPORTS_PER_S),
        telemetry=telemetry or Telemetry(),
        ids=Ids(),
        routes_by_handler=routes_by_handler(served),
        default_zone=default_zone,
        feed=Feed(lambda zone: decider.zone(zone).get_status(), clients_max=event_clients),
        report_links=ReportLinks(decider, public_url, keys=zone_keys),
        zone_keys=zone_keys,
        description=Description(lambda: describe(served, __version__)),
    )
    app.on_shutdown.extend((_stop_waiting, _close_feed))
    return app


async def _stop_waiting(app: web.Application) -> None:
    await app[APP_CONTEXT].decider.stop_waiting()


async def _close_feed(app: web.Application) -> None:
    await app[APP_CONTEXT].feed.close()

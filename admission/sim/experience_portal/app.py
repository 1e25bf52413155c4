"""The simulated Experience Portal as an aiohttp application.

async with serve_portal(PortalSettings()) as url: ...   inside a program or a test
run_portal(PortalSettings(), port=9080)                 standalone, until a signal
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from aiohttp import web

from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH, LEGACY_PATH
from admission.sim.experience_portal.control import PortalControl
from admission.sim.experience_portal.endpoint import Endpoint
from admission.sim.experience_portal.faults import Fault
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.experience_portal.operations import Operations, find_report_url
from admission.sim.experience_portal.reports import Reporter
from admission.sim.faults import ActiveFaults
from admission.sim.serving import serve_app
from admission.sim.sessions import SessionLog
from admission.sim.values import CallEvent

BODY_BYTES_MAX: Final = 64 * 1024
DEFAULT_PORT: Final = 9080


class _Simulator:
    """The parts of one application."""

    def __init__(self, settings: PortalSettings) -> None:
        self.log = SessionLog()
        self.reporter = Reporter(timeout_s=settings.report_timeout_s, hosts=settings.report_hosts)
        self.live = RealTimePortal(settings.system, seed=settings.seed, listener=self._record)
        self.run = Operations(settings, self.live, self.log)

    async def lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        """Start and stop (a `cleanup_ctx`)."""
        await self.reporter.start()
        self.live.start()
        yield
        self.live.stop()
        await self.reporter.stop()

    async def release_waiters(self, _app: web.Application) -> None:
        """Answer waiting requests, so that the shutdown need not wait for them."""
        self.log.close()
        self.run.close()

    def _record(self, event: CallEvent) -> None:
        self.log.record(event)
        self.reporter.record(event, find_report_url(self.log, event))


def portal_app(settings: PortalSettings) -> web.Application:
    """Build the application: SOAP on both paths, and the control interface below `/sim`."""
    simulator = _Simulator(settings)
    faults: ActiveFaults[Fault] = ActiveFaults(Random(f"{settings.seed} faults"))
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    legacy = Endpoint("axis1", settings, simulator.run, faults)
    current = Endpoint("axis2", settings, simulator.run, faults)
    app.add_routes(
        [
            web.get(LEGACY_PATH, legacy.get),
            web.post(LEGACY_PATH, legacy.post),
            web.get(CURRENT_PATH, current.get),
            web.post(CURRENT_PATH, current.post),
            *PortalControl(simulator.live, simulator.log, faults).routes(),
        ]
    )
    app.cleanup_ctx.append(simulator.lifetime)
    app.on_shutdown.append(simulator.release_waiters)
    return app


@asynccontextmanager
async def serve_portal(
    settings: PortalSettings, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve inside a running event loop.

    Args:
        settings: of the simulator.
        host: address to listen on.
        port: 0: any free port.

    Yields:
        The base URL.
    """
    async with serve_app(portal_app(settings), host=host, port=port) as url:
        yield url


def run_portal(
    settings: PortalSettings, *, host: str = "127.0.0.1", port: int = DEFAULT_PORT
) -> None:
    """Serve until SIGINT or SIGTERM. Prints where, and with which credentials."""

    def announce(running: str) -> None:
        zones = ", ".join(one.name for one in settings.system.zones)
        print(
            running,
            f"axis2: {CURRENT_PATH} (auth: {settings.current_auth})",
            f"axis1: {LEGACY_PATH} (auth: {settings.legacy_auth})",
            f"user {settings.user}, password {settings.password}; zones {zones}",
            "control: /sim/truth, /sim/zones, /sim/faults, /sim/sessions, /sim/events",
            sep="\n",
            flush=True,
        )

    web.run_app(portal_app(settings), host=host, port=port, access_log=None, print=announce)

"""The simulated CC-CMS and CC-Gateway of one call centre as an aiohttp application.

async with serve_huawei(HuaweiSettings()) as url: ...   inside a program or a test
run_huawei(HuaweiSettings(), port=9081)                 standalone, until a signal
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from aiohttp import web

from admission.sim.faults import ActiveFaults
from admission.sim.huawei.agent_sessions import AgentSessions
from admission.sim.huawei.call_center import CallCenter
from admission.sim.huawei.cms_endpoint import CmsEndpoint
from admission.sim.huawei.config import HuaweiSettings
from admission.sim.huawei.control import HuaweiControl
from admission.sim.huawei.faults import HuaweiFault
from admission.sim.huawei.gateway_endpoint import GatewayEndpoint
from admission.sim.live import RealTimeDriver
from admission.sim.serving import serve_app
from admission.sim.sessions import SessionLog

BODY_BYTES_MAX: Final = 64 * 1024
DEFAULT_PORT: Final = 9081


class _Simulator:
    """The parts of one application."""

    def __init__(self, settings: HuaweiSettings) -> None:
        self.stop = asyncio.Event()
        self.log = SessionLog()
        self.agent_sessions = AgentSessions(settings, time.monotonic)
        center = CallCenter(settings.center, seed=settings.seed, listener=self.log.record)
        self.live = RealTimeDriver(center)
        faults: ActiveFaults[HuaweiFault] = ActiveFaults(Random(f"{settings.seed} faults"))
        self.cms = CmsEndpoint(settings, self.live, self.agent_sessions, faults, self.stop)
        self.gateway = GatewayEndpoint(settings, self.live, self.agent_sessions, faults, self.stop)
        self.control = HuaweiControl(
            self.live, self.agent_sessions, self.log, faults, self._request_counts
        )

    async def lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        """Start and stop (a `cleanup_ctx`)."""
        self.live.start()
        yield
        self.live.stop()

    async def release_waiters(self, _app: web.Application) -> None:
        """Answer waiting requests, so that the shutdown need not wait for them."""
        self.stop.set()
        self.log.close()
        self.agent_sessions.close()

    def _request_counts(self) -> dict[str, object]:
        return {
            "requests": {"licence": self.cms.queries} | self.gateway.requests,
            "most_at_once": self.gateway.most_at_once,
            "left_talking": self.gateway.left_talking,
        }


def huawei_app(settings: HuaweiSettings) -> web.Application:
    """Build the application: both platforms' interfaces, and the control interface below `/sim`."""
    simulator = _Simulator(settings)
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.add_routes(simulator.cms.routes())
    app.add_routes(simulator.gateway.routes())
    app.add_routes(simulator.control.routes())
    app.cleanup_ctx.append(simulator.lifetime)
    app.on_shutdown.append(simulator.release_waiters)
    return app


@asynccontextmanager
async def serve_huawei(
    settings: HuaweiSettings, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve inside a running event loop and yield the base URL; port 0: any free port."""
    async with serve_app(huawei_app(settings), host=host, port=port) as url:
        yield url


def run_huawei(
    settings: HuaweiSettings, *, host: str = "127.0.0.1", port: int = DEFAULT_PORT
) -> None:
    """Serve until SIGINT or SIGTERM. Prints where, and with which credentials."""

    def announce(running: str) -> None:
        print(
            running,
            f"CC-CMS: ccId {settings.cc_id}, access_key {settings.access_key}, "
            f"secret_key {settings.secret_key}",
            f"CC-Gateway: password of every agent {settings.agent_password}",
            "control: /sim/truth, /sim/faults, /sim/agents, /sim/events",
            sep="\n",
            flush=True,
        )

    web.run_app(huawei_app(settings), host=host, port=port, access_log=None, print=announce)

"""A browser for the tests of a module; a service whose numbers stand still unless a test acts."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from admission.http.auth.tokens import Credentials
from admission.http.context import APP_CONTEXT
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceHarness, serve_service, service_settings
from tests.support.tools import module, tool

PATIENCE_MS = 30_000
LAUNCH_MS = 120_000
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
ZONES = """
[zones.East]
source = "push"
channels = ["sip", "h323"]
launch_within_ms = 1
claim_within_ms = 0
visibility_lag_ms = 0
max_age_ms = 600000
answer_within_ms = 900000
[zones.East.mpps]
mpp1 = { sip = 5, h323 = 2 }
mpp2 = { sip = 5 }
[zones.East.campaigns.collections]
limit = 8
pools = ["trunk:carrier-a"]
[zones.East.campaigns."*"]
[zones.East.pools."trunk:carrier-a"]
limit = 6
[zones.West]
source = "static"
channels = ["sip"]
capacity = { sip = 4 }
launch_within_ms = 1
claim_within_ms = 0
[zones.West.campaigns."*"]
"""


@dataclass
class DashboardHarness(ServiceHarness):
    """A served service with a dashboard."""

    def cut(self) -> None:
        """End every stream, as a server that shuts down does."""
        for stream in self.app[APP_CONTEXT].feed._streams:
            stream.close()

    async def push_snapshot(self, **unused: int) -> None:
        """Push a snapshot of 12 ports, once the zone accepts it."""
        while True:
            now = (await self.get("/v1/zones/East/time"))["now"]
            body = {"taken_at": now, "total": 12, "unused": unused}
            await self.send("PUT", "/v1/zones/East/snapshot", body)
            answer = await self.ask(zone="East", dry_run=True)
            if answer.get("reason") not in ("recovering", "no_snapshot"):
                return

    async def pool(self, name: str) -> dict[str, Any]:
        pools = (await self.get("/v1/zones/East"))["pools"]
        return next(one for one in pools if one["pool"] == name)


@asynccontextmanager
async def serve_dashboard(
    redis_url: str, credentials: Credentials | None = None
) -> AsyncIterator[DashboardHarness]:
    """Serve zones East and West, with the dashboard in front of them."""
    settings = service_settings(ZONES, redis_url)
    async with serve_service(settings, credentials=credentials, default_zone="East") as served:
        yield DashboardHarness(**vars(served))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """Chromium, without a window and without connections to other hosts."""
    path, playwright = tool("chromium"), module("playwright.async_api")
    with tempfile.TemporaryDirectory(prefix="adm-browser-") as home:
        async with playwright.async_playwright() as driver:
            context = await driver.chromium.launch_persistent_context(
                home, executable_path=path, headless=True, args=list(FLAGS), timeout=LAUNCH_MS
            )
            context.set_default_timeout(PATIENCE_MS)
            yield context
            await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Any) -> AsyncIterator[Any]:
    """An empty page; whatever it complains of fails the test."""
    opened, complaints = await browser.new_page(), []
    opened.on("pageerror", lambda fault: complaints.append(str(fault)))
    opened.on("console", lambda said: complaints.append(said.text) if _is_bad(said) else None)
    yield opened
    await opened.close()
    assert complaints == []


def _is_bad(said: Any) -> bool:
    # What a server refuses or does not answer is said by the browser itself.
    return said.type in ("error", "warning") and "Failed to load resource" not in said.text


@pytest.fixture
def emptied(redis_server: RedisServer) -> str:
    """The URL of the emptied server."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


@pytest_asyncio.fixture(loop_scope="module")
async def dashboard(emptied: str) -> AsyncIterator[DashboardHarness]:
    async with serve_dashboard(emptied) as opened:
        await opened.push_snapshot(sip=7, h323=2)
        yield opened

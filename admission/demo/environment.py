"""The environment of the demo: settings, simulated platform, service, and connections to both.

    simulated platform <- SOAP - dialers - HTTP -> service (embedded Redis in a temporary folder)
           |                        ^                 |
           +------ call events -----+                 +-- polls the platform

All parts run in this process, on loopback.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp

from admission.config import Settings
from admission.config.load import load_demo_settings, replace_platform_url
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.demo.calls import Launcher
from admission.demo.launch_policies import (
    ControllerLaunchPolicy,
    DecisionCounts,
    LaunchPolicy,
    PollingLaunchPolicy,
    Stopwatch,
)
from admission.domain.policy import ZonePolicy, parse_policy, policy_json
from admission.errors import ConfigError
from admission.http import create_app, serve_app
from admission.service import open_service
from admission.sim.experience_portal.app import serve_portal
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH
from admission.sim.experience_portal.from_settings import platform_for
from admission.sim.values import CallTiming, Delay
from admission.sources.experience_portal import SoapClient
from admission.telemetry import Telemetry

SEED: Final = 7
PORT_VARIABLE: Final = "ADMISSION__SERVER__PORT"
SHUTDOWN_GRACE_MS: Final = 1_000
CONCURRENT_POLLS_MAX: Final = 64

# Short calls, so that the numbers move; a port is claimed within 0.6 s of the launch.
TIMING: Final = CallTiming(
    prepare=Delay(low_ms=100, high_ms=600),
    answer_after=Delay(low_ms=2_000, high_ms=6_000),
    talk=Delay(low_ms=3_000, high_ms=120_000, mean_ms=30_000),
    answered=0.5,
    ring_at_most_ms=10_000,
)
# The settings of an operator who knows this platform: its real times with a margin, a few ports of
# headroom for inbound calls between snapshot and claim, and deadlines short enough to watch the
# ledger expire lost reservations. A launch cannot name its MPP, so the platform places the calls.
TUNING: Final[dict[str, Any]] = {
    "placement": "platform",
    "headroom": "3%",
    "launch_within_ms": 300,
    "claim_within_ms": 750,
    "visibility_lag_ms": 450,
    "end_notice_ms": 100,
    "poll_interval_ms": 250,
    "max_age_ms": 5_000,
    "answer_within_ms": 15_000,
    "max_call_ms": 15_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoEnvironment:
    """The open resources of a running demo.

    Args:
        settings: with zones and campaigns.
        platform_url: of the simulator.
        service_url: of the controller; empty: there is none.
        http: session for requests to both.
        launcher: launches on the platform.
        launch_policy: of all dialers.
        polling: the same launch policy, if there is no controller.
        decisions: counts of the answers of the launch policy.
        stopwatch: monotonic seconds.

    Example:
        `async with open_environment(tune(environ, folder), unguarded=False, calls_max=9) as env:`
    """

    settings: Settings
    platform_url: str
    service_url: str
    http: aiohttp.ClientSession
    launcher: Launcher
    launch_policy: LaunchPolicy
    polling: PollingLaunchPolicy | None
    decisions: DecisionCounts
    stopwatch: Stopwatch = time.monotonic


def tune(environ: dict[str, str], folder: Path) -> Settings:
    """Return the settings of the built-in demo, with times short enough to watch.

    Args:
        environ: overrides; without a port, any free port is used.
        folder: of the embedded Redis.

    Raises:
        ConfigError: an override is invalid.
    """
    settings = load_demo_settings(environ=environ)
    port = settings.server.port if PORT_VARIABLE in environ else 0
    changes = {
        "server": settings.server.model_copy(update={"port": port}),
        "redis": settings.redis.model_copy(update={"data_dir": folder}),
        "zones": {name: _tune_policy(policy) for name, policy in settings.zones.items()},
    }
    return settings.model_copy(update=changes)


def tune_platform(settings: Settings) -> PortalSettings:
    """Return the settings of the simulated platform, which do not depend on the controller."""
    platform = platform_for(settings)
    return replace(platform, system=replace(platform.system, timing=TIMING), seed=SEED)


@asynccontextmanager
async def open_environment(
    settings: Settings, *, unguarded: bool, calls_max: int
) -> AsyncIterator[DemoEnvironment]:
    """Start platform and service, and close both in the reverse order.

    Args:
        settings: from `tune`.
        unguarded: without the service.
        calls_max: concurrent launches.

    Raises:
        ConfigError: the service cannot start.
    """
    platform = tune_platform(settings)
    async with AsyncExitStack() as stack:
        platform_url = await stack.enter_async_context(serve_portal(platform))
        there = replace_platform_url(settings, platform_url + CURRENT_PATH)
        service_url = "" if unguarded else await stack.enter_async_context(_serve(there))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        launches = await _open_soap(stack, platform_url, calls_max)
        decisions = DecisionCounts()
        polling = None
        launch_policy: LaunchPolicy = ControllerLaunchPolicy(
            http, service_url, decisions, time.monotonic
        )
        if unguarded:
            soap = await _open_soap(stack, platform_url, CONCURRENT_POLLS_MAX)
            launch_policy = polling = PollingLaunchPolicy(
                soap, TUNING["launch_within_ms"], decisions, time.monotonic
            )
        yield DemoEnvironment(
            settings=settings,
            platform_url=platform_url,
            service_url=service_url,
            http=http,
            launcher=Launcher(launches, platform.codes),
            launch_policy=launch_policy,
            polling=polling,
            decisions=decisions,
        )


def _tune_policy(policy: ZonePolicy) -> ZonePolicy:
    return parse_policy(json.loads(policy_json(policy)) | TUNING)


async def _open_soap(stack: AsyncExitStack, platform_url: str, connections_max: int) -> SoapClient:
    settings = ExperiencePortalSettings(url=platform_url + CURRENT_PATH, auth="none")
    client = SoapClient(settings, connections_max=connections_max)
    stack.push_async_callback(client.close)
    return client


@asynccontextmanager
async def _serve(settings: Settings) -> AsyncIterator[str]:
    """Run the service, and yield its URL."""
    telemetry = Telemetry()
    async with open_service(settings, telemetry) as service:
        zone = settings.server.default_zone
        app = create_app(service, telemetry=telemetry, default_zone=zone)
        leave = asyncio.Event()
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        server = settings.server
        serving = asyncio.create_task(
            serve_app(
                app,
                server.host,
                server.port,
                stop=leave,
                grace_ms=SHUTDOWN_GRACE_MS,
                on_listening=port.set_result,
            )
        )
        try:
            both: set[asyncio.Future[Any]] = {serving, port}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                raise _explain_failure(server.host, server.port, serving)
            host = f"[{server.host}]" if ":" in server.host else server.host
            yield f"http://{host}:{port.result()}"
        finally:
            leave.set()
            await asyncio.wait({serving})


def _explain_failure(host: str, port: int, serving: asyncio.Task[None]) -> BaseException:
    fault = serving.exception()
    if isinstance(fault, OSError):
        return ConfigError(f"server.port: cannot listen on {host}:{port}: {fault.strerror}")
    return fault or RuntimeError("the service ended by itself")

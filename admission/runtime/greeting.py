"""The output of a started service: its address and a first command."""

import asyncio
from contextlib import suppress
from typing import Final

from admission.config import Settings
from admission.errors import Unavailable
from admission.service import Service
from admission.telemetry import terminal

WARM_UP_S_MAX: Final = 15.0
WARM_UP_LOOK_S: Final = 0.1


async def print_suggestions(settings: Settings, service: Service, port: int) -> None:
    """Print a first command as soon as the default zone can grant.

    The end of a recovery is no event, so the status is polled.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(WARM_UP_S_MAX):
            while not await _can_grant(service, settings.server.default_zone):  # noqa: ASYNC110
                await asyncio.sleep(WARM_UP_LOOK_S)
    terminal.info(format_suggestions(settings, port))


async def _can_grant(service: Service, zone: str) -> bool:
    """Whether the zone can grant: a new zone waits for snapshots before its first grant."""
    try:
        status = await service.zone(zone).get_status()
    except Unavailable:
        return False
    fed = [pool["snapshot"] for pool in status["pools"] if pool["pool"].startswith("channel:")]
    seen = [one is None or one["w0"] > status["recover_until"] for one in fed]
    return not status["recovering"] and all(seen)


def _build_url(settings: Settings, port: int) -> str:
    host, scheme = settings.server.host, "https" if settings.server.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def format_banner(settings: Settings, port: int) -> str:
    """The address of the service, its store, zones and sources."""
    url = _build_url(settings, port)
    return "\n".join(
        (
            f"admission listens at {url} (Ctrl-C ends it)",
            f"  store:  {settings.redis.place}",
            f"  zones:  {', '.join(settings.zones)}",
            *(f"  source: {name} at {one.url}" for name, one in settings.sources.items()),
            f"  docs:   {url}/docs",
        )
    )


def format_suggestions(settings: Settings, port: int) -> str:
    """Commands to paste into another terminal."""
    url, default = _build_url(settings, port), settings.server.default_zone
    names = settings.zones[default].campaigns
    campaign = next((name for name in names if name != "*"), "collections")
    ask = f'{{"campaign": "{campaign}"}}'
    return "\n".join(
        (
            "Ready. Request an admission, then look at the zone:",
            f"  curl -s {url}/v1/admissions -H 'Content-Type: application/json' -d '{ask}'",
            f"  curl -s {url}/v1/zones/{default}",
        )
    )

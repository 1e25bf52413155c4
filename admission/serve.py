"""Running the service: signals, the demo's simulated platform, what is printed at the start."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from admission.config import load_settings, with_platform_url
from admission.errors import ConfigError, Unavailable
from admission.http.app import create_app
from admission.http.auth import Credentials
from admission.http.connections import allow_many_files
from admission.http.server import serve_app
from admission.http.tls import Certificates
from admission.reload import Reloader, reread_on_hangup, tokens_of
from admission.service import Service, open_service
from admission.settings import ServerSettings, Settings
from admission.sim.demo_platform import platform_for
from admission.sim.portal_app import serving
from admission.sim.portal_contract import CURRENT_PATH
from admission.telemetry import Telemetry

log = logging.getLogger(__name__)

WARM_UP_S_MAX: Final = 15.0
WARM_UP_LOOK_S: Final = 0.1


async def serve(path: Path | None, environ: dict[str, str], *, announce: bool = True) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP reads the file again (reload.py).

    Args:
        path: the configuration file; None: the built-in demo with its simulated platform.
        environ: overrides and secrets.
        announce: print where it listens and what to try.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    settings = load_settings(path, environ)
    configure_logging(settings)
    stop = asyncio.Event()
    with stopped_by_signals(stop):
        async with AsyncExitStack() as stack:
            if path is None:
                settings = await stack.enter_async_context(simulated_platform(settings))
            telemetry = Telemetry()
            service = await stack.enter_async_context(open_service(settings, telemetry))
            credentials = Credentials(tokens_of(settings))
            certificates = certificates_of(settings.server)
            reloader = Reloader(path, environ, settings, service, credentials, certificates)
            await stack.enter_async_context(reread_on_hangup(reloader.reload))
            await _listen(
                settings, service, telemetry, credentials, certificates, stop, announce=announce
            )


@asynccontextmanager
async def simulated_platform(settings: Settings) -> AsyncIterator[Settings]:
    """The demo's platform, on a free loopback port; the settings then point to it."""
    async with serving(platform_for(settings)) as url:
        log.info("simulated Experience Portal at %s", url)
        yield with_platform_url(settings, url + CURRENT_PATH)


async def _listen(
    settings: Settings,
    service: Service,
    telemetry: Telemetry,
    credentials: Credentials,
    certificates: Certificates | None,
    stop: asyncio.Event,
    *,
    announce: bool,
) -> None:
    server = settings.server
    app = create_app(
        service,
        credentials=credentials,
        telemetry=telemetry,
        default_zone=server.default_zone,
        metrics_public=server.metrics_public,
        event_clients=settings.limits.event_clients,
        public_url=server.public_url,
        requests_per_s=settings.limits.requests_per_s_per_caller,
    )

    background: list[asyncio.Task[None]] = []

    def listening(port: int) -> None:
        if announce:
            background.append(asyncio.create_task(_announce(settings, service, port)))

    try:
        await serve_app(
            app,
            server.host,
            server.port,
            stop=stop,
            grace_ms=server.shutdown_grace_ms,
            delay_ms=server.shutdown_delay_ms,
            certificates=certificates,
            connections_max=allow_many_files(),
            without_credentials=server.allow_anonymous,
            on_listening=listening,
        )
    except OSError as fault:
        place = f"{server.host}:{server.port}"
        raise ConfigError(f"server.port: cannot listen on {place}: {fault.strerror}") from None
    finally:
        for task in background:
            task.cancel()


def certificates_of(server: ServerSettings) -> Certificates | None:
    """What TLS needs, None without it; raises `ConfigError`."""
    if server.tls_cert is None or server.tls_key is None:
        return None
    return Certificates(server.tls_cert, server.tls_key, server.client_ca)


async def _announce(settings: Settings, service: Service, port: int) -> None:
    """Say where it is; the line to try comes as soon as the default zone can grant.

    No event tells that a recovery is over, so it is looked at, a few times a second.
    """
    print(where(settings, port), flush=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(WARM_UP_S_MAX):
            while not await _can_grant(service, settings.server.default_zone):  # noqa: ASYNC110
                await asyncio.sleep(WARM_UP_LOOK_S)
    print(what_to_try(settings, port), flush=True)


async def _can_grant(service: Service, zone: str) -> bool:
    """A new zone watches its platform for a few seconds before its first grant."""
    try:
        status = await service.status(zone)
    except Unavailable:
        return False
    fed = [pool["snapshot"] for pool in status["pools"] if pool["pool"].startswith("channel:")]
    seen = [one is None or one["w0"] > status["recover_until"] for one in fed]
    return not status["recovering"] and all(seen)


def _url(settings: Settings, port: int) -> str:
    host, scheme = settings.server.host, "https" if settings.server.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def where(settings: Settings, port: int) -> str:
    """What a user wants to know first: where it is."""
    url = _url(settings, port)
    return "\n".join(
        (
            f"admission listens at {url} (Ctrl-C ends it)",
            f"  store:  {settings.redis.place}",
            f"  zones:  {', '.join(settings.zones)}",
            f"  docs:   {url}/docs",
        )
    )


def what_to_try(settings: Settings, port: int) -> str:
    """Lines to paste into another terminal."""
    url, default = _url(settings, port), settings.server.default_zone
    names = settings.zones[default].campaigns
    campaign = next((name for name in names if name != "*"), "collections")
    ask = f'{{"campaign": "{campaign}"}}'
    return "\n".join(
        (
            "Ready to be asked: may I launch? And then: what does the zone look like?",
            f"  curl -s {url}/v1/admissions -H 'Content-Type: application/json' -d '{ask}'",
            f"  curl -s {url}/v1/zones/{default}",
        )
    )


def configure_logging(settings: Settings) -> None:
    """One line a record on standard error."""
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`, once; what happens then is the caller's."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for one in signals:
        loop.add_signal_handler(one, stop.set)
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)

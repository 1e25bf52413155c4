"""The service in one process: alone, or one worker of several."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from admission.composition import open_service
from admission.errors import ConfigError, Unavailable
from admission.garbage import settle
from admission.http.app import create_app
from admission.http.auth import Credentials
from admission.http.connections import allow_many_files
from admission.http.server import serve_app
from admission.http.tls import Certificates
from admission.reload import Reloader, reread_on_hangup, tokens_of
from admission.service import Service
from admission.settings import ServerSettings, Settings
from admission.telemetry import Telemetry

WARM_UP_S_MAX: Final = 15.0
WARM_UP_LOOK_S: Final = 0.1


async def serve_one(
    path: Path | None,
    environ: Mapping[str, str],
    settings: Settings,
    used: Settings,
    stop: asyncio.Event,
    *,
    announce: bool = True,
    on_listening: Callable[[int], object] | None = None,
    telemetry: Telemetry | None = None,
) -> None:
    """Serve until `stop` is set.

    Args:
        path, environ: where the settings came from, for SIGHUP.
        settings: as they were read.
        used: the same, with the addresses of what was started for them.
        announce: print where it listens and what to try.
        on_listening: told the port, instead of the terminal.
        telemetry: of several processes together; None: of this one.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    telemetry, certificates = telemetry or Telemetry(), certificates_of(used.server)
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(used, telemetry))
        credentials = Credentials(tokens_of(used))
        reloader = Reloader(path, environ, settings, service, credentials, certificates)
        await stack.enter_async_context(reread_on_hangup(reloader.reload))
        background: list[asyncio.Task[None]] = []
        stack.callback(lambda: [task.cancel() for task in background])

        def listening(port: int) -> None:
            settle()
            if on_listening is not None:
                on_listening(port)
            elif announce:
                print(where(used, port), flush=True)
            if announce:
                background.append(asyncio.create_task(_say_what_to_try(used, service, port)))

        await _listen(used, service, telemetry, credentials, certificates, stop, listening)


async def _listen(
    settings: Settings,
    service: Service,
    telemetry: Telemetry,
    credentials: Credentials,
    certificates: Certificates | None,
    stop: asyncio.Event,
    listening: Callable[[int], object],
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
            reuse_port=server.workers > 1,
            on_listening=listening,
        )
    except OSError as fault:
        place = f"{server.host}:{server.port}"
        raise ConfigError(f"server.port: cannot listen on {place}: {fault.strerror}") from None


def certificates_of(server: ServerSettings) -> Certificates | None:
    """What TLS needs, None without it; raises `ConfigError`."""
    if server.tls_cert is None or server.tls_key is None:
        return None
    return Certificates(server.tls_cert, server.tls_key, server.client_ca)


async def _say_what_to_try(settings: Settings, service: Service, port: int) -> None:
    """As soon as the default zone can grant.

    No event tells that a recovery is over, so it is looked at, a few times a second.
    """
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
            *(f"  source: {name} at {one.url}" for name, one in settings.sources.items()),
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

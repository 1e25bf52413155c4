"""The service in one process: the only one, or one worker of several."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from admission.config import ServerSettings, Settings
from admission.errors import ConfigError
from admission.http import Certificates, Credentials, create_app, raise_file_limit, serve_app
from admission.runtime.greeting import format_banner, print_suggestions
from admission.runtime.reload import Reloader, build_tokens, reload_on_sighup
from admission.service import Service, open_service
from admission.telemetry import Telemetry, terminal


async def serve_in_process(
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
        path, environ: the origin of the settings, read again on SIGHUP.
        settings: as they were read.
        used: the same, with the addresses of servers that were started for them.
        announce: print the address and a first command.
        on_listening: called with the port, instead of a line on the terminal.
        telemetry: shared by several processes; None: of this process alone.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    telemetry, certificates = telemetry or Telemetry(), open_certificates(used.server)
    if certificates is not None:
        telemetry.read_certificate_expiry = lambda: certificates.expires_at_s
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(used, telemetry))
        credentials = Credentials(build_tokens(used))
        reloader = Reloader(path, environ, settings, service, credentials, certificates)
        await stack.enter_async_context(reload_on_sighup(reloader.reload))
        background: list[asyncio.Task[None]] = []
        stack.callback(lambda: [task.cancel() for task in background])
        background.append(asyncio.create_task(observe_loop(telemetry), name="loop delay"))

        def on_bound(port: int) -> None:
            tune_gc()
            if on_listening is not None:
                on_listening(port)
            elif announce:
                terminal.info(format_banner(used, port))
            if announce:
                background.append(asyncio.create_task(print_suggestions(used, service, port)))

        await _listen(used, service, telemetry, credentials, certificates, stop, on_bound)


async def observe_loop(telemetry: Telemetry) -> None:
    """Record again and again by how much the event loop runs a timer too late."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + LOOP_INTERVAL_S
        await asyncio.sleep(LOOP_INTERVAL_S)
        telemetry.observe_loop_delay(max(0.0, loop.time() - due_s))


async def _listen(
    settings: Settings,
    service: Service,
    telemetry: Telemetry,
    credentials: Credentials,
    certificates: Certificates | None,
    stop: asyncio.Event,
    on_bound: Callable[[int], object],
) -> None:
    server = settings.server
    app = create_app(
        service,
        credentials=credentials,
        telemetry=telemetry,
        default_zone=server.default_zone,
        metrics_public=server.metrics_public,
        event_clients=settings.limits.max_event_clients,
        public_url=server.public_url,
        host_names=frozenset({server.host}),
        requests_per_s=settings.limits.requests_per_s_per_caller,
        trusted_proxies=server.trusted_proxies,
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
            connections_max=raise_file_limit(),
            without_credentials=server.allow_anonymous,
            reuse_port=server.workers > 1,
            on_listening=on_bound,
        )
    except OSError as fault:
        place = f"{server.host}:{server.port}"
        raise ConfigError(f"server.port: cannot listen on {place}: {fault.strerror}") from None


def open_certificates(server: ServerSettings) -> Certificates | None:
    """The certificates for TLS, None without TLS; raises `ConfigError`."""
    if server.tls_cert is None or server.tls_key is None:
        return None
    return Certificates(server.tls_cert, server.tls_key, server.client_ca)


LOOP_INTERVAL_S: Final = 0.5  # some 10 us of work each

# Allocations without deallocations before a collection of the youngest generation (Python: 700): a
# few hundred requests, some MB at most.
NEW_OBJECTS: Final = 20_000

YOUNG_ROUNDS: Final = 10  # collections of a generation before one of the next (Python: 10)
OLDER_ROUNDS: Final = 10


def tune_gc() -> None:
    """Exclude all loaded objects from garbage collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_ROUNDS, OLDER_ROUNDS)

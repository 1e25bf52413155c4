"""Running the service, in one process or several: signals, logging, the simulated platform."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from admission.config import Settings
from admission.config.load import load_settings, replace_platform_url
from admission.runtime.process import serve_in_process
from admission.runtime.supervisor import serve_with_workers
from admission.telemetry import Telemetry, configure_logging

log = logging.getLogger(__name__)


async def serve(path: Path | None, environ: Mapping[str, str], *, announce: bool = True) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP reads the file again (runtime/reload.py).

    Args:
        path: the configuration file; None: the built-in demo with its simulated platform.
        environ: overrides and secrets.
        announce: print the address and a first command.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    settings = load_settings(path, environ)
    telemetry, stop = Telemetry(), asyncio.Event()
    configure_logging(settings.log, telemetry.count_dropped_line)
    with stop_on_signals(stop):
        async with serve_demo_platform(path, settings) as used:
            run = serve_with_workers
            if settings.server.workers == 1:
                run = partial(serve_in_process, telemetry=telemetry)
            await run(path, environ, settings, used, stop, announce=announce)


@asynccontextmanager
async def serve_demo_platform(path: Path | None, settings: Settings) -> AsyncIterator[Settings]:
    """Serve the demo's platform on a free loopback port, and point the settings to it."""
    if path is not None:
        yield settings
        return
    # Imported here: a service with a configuration file needs no simulator.
    from admission.sim.experience_portal.app import serve_portal
    from admission.sim.experience_portal.contract import CURRENT_PATH
    from admission.sim.experience_portal.from_settings import platform_for

    async with serve_portal(platform_for(settings)) as url:
        log.info("simulated Experience Portal at %s", url)
        yield replace_platform_url(settings, url + CURRENT_PATH)


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for one in signals:
        loop.add_signal_handler(one, stop.set)
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)

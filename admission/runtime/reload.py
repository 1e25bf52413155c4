"""SIGHUP: reads the configuration file again and applies the settings that can change at run time.

Tokens are replaced, a zone's policy becomes live if that content never was, sources use their new
settings and secrets, new connections to Redis its new password, and the certificate files are read
again under their old names. For every other setting the log says that a restart is needed. A broken
file changes nothing.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from admission.config import InvalidSettings, Settings
from admission.config.load import load_settings
from admission.domain.policy import ZonePolicy
from admission.errors import AdmissionError, ConfigError
from admission.http import Certificates, Credentials, Token
from admission.service import Service
from admission.sources import is_polled

log = logging.getLogger(__name__)

_AT_START_ONLY: Final = ("server", "redis", "log", "limits")


class Reloader:
    """Applies a changed configuration file.

    Args:
        path: the file; None: the built-in demo, which has none.
        environ: overrides and secrets.
        started: the settings that the service was started with.
        service, credentials, certificates: changed by `reload`.
    """

    def __init__(
        self,
        path: Path | None,
        environ: Mapping[str, str],
        started: Settings,
        service: Service,
        credentials: Credentials,
        certificates: Certificates | None = None,
    ) -> None:
        self._path = path
        self._environ = environ
        self._started = started
        self._service = service
        self._credentials = credentials
        self._certificates = certificates

    async def reload(self) -> bool:
        """Read the file and apply it. Returns: whether everything succeeded.

        Raises nothing: failures are logged.
        """
        renewed = self._renew_certificates()
        if self._path is None:
            log.warning("SIGHUP: the demo has no file to read again")
            return False
        try:
            settings = load_settings(self._path, self._environ)
            self._credentials.replace(build_tokens(settings))
        except ConfigError as fault:
            for line in _format_lines(fault):
                log.error("SIGHUP: nothing is changed: %s", line)
            return False
        self._service.renew_redis_password(settings.redis)
        for what in _list_restart_reasons(self._started, settings):
            log.warning("SIGHUP: %s: restart the service for that", what)
        zones = dict(_select_servable(self._started, settings))
        done = [await self._apply_sources(settings), await self._apply_zones(zones)]
        return all(done) and renewed

    def _renew_certificates(self) -> bool:
        if self._certificates is None:
            return True
        try:
            self._certificates.reload()
        except ConfigError as fault:
            log.error("SIGHUP: the certificates stay as they are: %s", fault.detail)
            return False
        log.info("SIGHUP: certificates read again")
        return True

    async def _apply_sources(self, settings: Settings) -> bool:
        try:
            await self._service.reload_sources(settings.sources)
        except ConfigError as fault:
            log.error("SIGHUP: the sources stay as they are: %s", fault.detail)
            return False
        return True

    async def _apply_zones(self, zones: dict[str, ZonePolicy]) -> bool:
        try:
            await self._service.reload(zones)
        except AdmissionError as fault:
            log.error("SIGHUP: policies were not all applied, try again: %s", fault.detail)
            return False
        log.info("SIGHUP: %s read again: %d tokens, %d zones", self._path,
                 self._credentials.count, len(zones))  # fmt: skip
        return True


def build_tokens(settings: Settings) -> list[Token]:
    """The configured tokens, as the HTTP side checks them."""
    return [
        Token(
            name=one.name,
            sha256=one.sha256,
            role=one.role,
            campaigns=one.campaigns,
            zones=one.zones,
            pools=one.pools,
            expires_at_s=one.expires_at_s,
        )
        for one in settings.auth.tokens
    ]


@asynccontextmanager
async def reload_on_sighup(reload: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Call `reload` after each SIGHUP, one call at a time; signals during a call count once."""
    hangup, loop = asyncio.Event(), asyncio.get_running_loop()

    async def follow() -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            await reload()

    following = asyncio.create_task(follow(), name="follow SIGHUP")
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def _format_lines(fault: ConfigError) -> list[str]:
    if isinstance(fault, InvalidSettings):
        return [f"{fault.source}: {error}" for error in fault.errors]
    return [fault.detail]


def _list_restart_reasons(started: Settings, read: Settings) -> Iterator[str]:
    for table in _AT_START_ONLY:
        before, after = getattr(started, table), getattr(read, table)
        # Without secrets, which JSON masks: a new password is used without a restart.
        if before.model_dump(mode="json") != after.model_dump(mode="json"):
            yield f"[{table}] differs from what it was started with"
    for name in sorted({*started.sources, *read.sources}):
        if type(started.sources.get(name)) is not type(read.sources.get(name)):
            yield f"[sources.{name}] is new, gone, or of another type"
    for zone in started.zones:
        if zone not in read.zones:
            yield f"zone {zone} is not in the file any more, and is still served"
    for zone in read.zones:
        if missing := _list_missing_sources(started, read.zones[zone]):
            yield f"zone {zone} is left as it is: it needs the new source {', '.join(missing)}"


def _select_servable(started: Settings, read: Settings) -> Iterator[tuple[str, ZonePolicy]]:
    for zone, policy in read.zones.items():
        if not _list_missing_sources(started, policy):
            yield zone, policy


def _list_missing_sources(started: Settings, policy: ZonePolicy) -> list[str]:
    names = filter(is_polled, policy.source_names)
    return [name for name in names if name not in started.sources]

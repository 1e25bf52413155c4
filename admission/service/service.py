"""The service of all configured zones: the `Decider` of the HTTP side."""

import logging
from collections.abc import Collection, Mapping
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from admission.config import RedisSettings
from admission.config.base import SourceSection
from admission.domain.policy import ZonePolicy
from admission.domain.policy.memory import estimate_memory
from admission.domain.types import StoreMemory
from admission.errors import NotFound, Unavailable
from admission.ledger import RedisConnection
from admission.service.policies import stored_policy
from admission.service.zone import Components, Zone

log = logging.getLogger(__name__)

MB: Final = 2**20
PREPARE_PAUSE_S_MAX: Final = 2.0  # between two attempts to reach a Redis that is not there yet


class Service:
    """Decides for all configured zones.

    Example:
        async with open_service(settings, telemetry) as service:
            answer = await service.zone("East").admit(operation)

    Args:
        connection: the ledger's Redis, checked by `prepare`.
        components: open, and public for tests; `open_service` (bootstrap.py) owns them.
    """

    def __init__(self, connection: RedisConnection, components: Components) -> None:
        self._connection = connection
        self.components = components
        self._policies = components.policies
        self._zones: dict[str, Zone] = {}
        self._unprepared = "starting"

    def list_zones(self) -> Collection[str]:
        """The names of all configured zones, in the order of the file."""
        return self._policies.zones()

    def zone(self, name: str) -> Zone:
        """The zone of that name.

        Raises:
            NotFound: it is not configured.
        """
        found = self._zones.get(name)
        if found is None:
            if name not in self._policies:
                raise NotFound("There is no such zone.")
            found = self._zones[name] = Zone(name, self.components)
        return found

    async def prepare(self) -> None:
        """Check the store and give it the policies; again and again until it answers.

        Raises:
            ConfigError: the store must not be used.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=PREPARE_PAUSE_S_MAX),
        )
        async for attempt in retrying:
            with attempt:
                await self._prepare_once()

    async def check_ready(self) -> None:
        """Return when decisions can be made: Redis answers, the schema fits, policies are stored.

        Raises:
            Unavailable: with what is missing.
        """
        if self._unprepared:
            raise Unavailable(self._unprepared)
        await self.components.ledger.get_time(next(iter(self._policies)))

    async def read_store_memory(self) -> list[StoreMemory]:
        """The memory of each server of the store. Raises: Unavailable: one does not answer."""
        return await self._connection.read_memory()

    async def stop_waiting(self) -> None:
        """Answer every admission request that waits for room; from now on none waits."""
        await self.components.waiting.stop()

    async def reload(self, zones: Mapping[str, ZonePolicy]) -> None:
        """Make live what a configuration file that was read again says anew.

        Raises:
            Unavailable: the store does not answer; some zones may have been done.
        """
        self._policies.reload(zones)
        for zone in zones:
            await self._store_policy(zone)

    def renew_redis_password(self, settings: RedisSettings) -> None:
        """Use the password of settings that were read again for new connections to Redis."""
        self._connection.renew_password(settings)

    async def reload_sources(self, settings: Mapping[str, SourceSection]) -> None:
        """Use the changed settings of sources, and poll all zones at once.

        Raises:
            ConfigError: a table cannot work; no source was replaced.
        """
        replaced = self.components.sources.replace(settings)
        poller = self.components.poller
        await poller.configure(self._policies.polls(self.components.sources))
        poller.end_pauses()
        for source in replaced:
            await source.close()

    async def _prepare_once(self) -> None:
        try:
            await self._connection.check()
            for zone in self._policies:
                await self._store_policy(zone)
        except Unavailable as fault:
            if self._unprepared != fault.detail:
                log.warning("not ready: %s", fault.detail)
            self._unprepared = fault.detail
            raise
        self._unprepared = ""
        await self._compare_memory()

    async def _compare_memory(self) -> None:
        """Warn if the bounds of the zones allow more than the store's memory."""
        policies = [self._policies.of_file(zone) for zone in self._policies]
        most = estimate_memory((one.max_records, one.max_pools) for one in policies)
        try:
            limit = sum(one.limit_bytes for one in await self.read_store_memory())
        except Unavailable:
            return  # a warning is no reason to start later
        if most > limit > 0:
            log.warning(
                "Redis has %d MB and the zones may need %d MB: lower their max_records and "
                "max_pools, or raise maxmemory (docs/runbook.md#admissionmemorybound)",
                limit // MB,
                most // MB,
            )

    async def _store_policy(self, zone: str) -> None:
        policy = stored_policy(self._policies.of_file(zone))
        version, applied = await self.components.ledger.store_policy(
            zone, policy, "file", by="the file"
        )
        what = "applied" if applied else "known: the live one stays"
        log.info("zone %s: policy of the file %s (version %d)", zone, what, version)

"""The zones' policies as this replica knows them: as the file has them, and as they live.

The file names the zones and is what they start from; the live policies are the ledger's, changed
over HTTP on any replica. Who polls, and whoever asks for a status, goes by the live ones.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, from_json, policy_json
from admission.domain.policy.zone import ZonePolicy
from admission.errors import Invalid
from admission.ledger.policy_cache import StoredPolicy
from admission.sources.base import Source, is_polled
from admission.sources.polling.schedule import ZonePoll

log = logging.getLogger(__name__)


def stored_policy(policy: ZonePolicy) -> StoredPolicy:
    """A policy as the ledger keeps it."""
    return StoredPolicy(
        digest=digest(policy), fields=compile_policy(policy), source=policy_json(policy)
    )


class PolicyRegistry:
    """What the file says of each zone, and what the ledger says of it since.

    Args:
        zones: zone -> the policy of the configuration.

    Attributes:
        changed: set when a zone is to be polled in another way; whoever sees to it clears it.
    """

    def __init__(self, zones: Mapping[str, ZonePolicy]) -> None:
        self._file = dict(zones)
        self._live: dict[str, ZonePolicy] = {}
        self._digests: dict[str, str] = {}
        self.changed = asyncio.Event()

    def __contains__(self, zone: str) -> bool:
        return zone in self._file

    def __iter__(self) -> Iterator[str]:
        return iter(self._file)

    def zones(self) -> Collection[str]:
        """All zones as they are now, in the order of the file."""
        return self._file.keys()

    def of_file(self, zone: str) -> ZonePolicy:
        """A zone's policy as the file has it."""
        return self._file[zone]

    def live(self, zone: str) -> ZonePolicy:
        """The policy a zone goes by now; the file's, as long as nothing is heard of it."""
        return self._live.get(zone) or self._file[zone]

    def differs_from_file(self, zone: str, live_digest: str) -> bool:
        """Whether the live policy says something else than the file."""
        return digest(self._file[zone]) != live_digest

    def reload(self, zones: Mapping[str, ZonePolicy]) -> None:
        """The file was read again. A zone that is gone from it is served until a restart."""
        self._file = self._file | dict(zones)  # anew: somebody may be reading the one before

    def saw(self, zone: str, stored: StoredPolicy) -> None:
        """The ledger has a newer version: of its content, or of its pauses alone."""
        if zone not in self._file or self._digests.get(zone) == stored.digest:
            return
        self._digests[zone] = stored.digest
        try:
            self._live[zone] = from_json(stored.source)
        except Invalid as fault:
            # The ledger decides by the compiled policy, so only the polling is behind.
            self._live[zone] = self.live(zone)
            log.error(
                "zone %s: policy version %d is not understood by this version of the service; "
                "polling goes on as before: %s",
                zone,
                stored.version,
                fault.detail,
            )
        self.changed.set()

    def polls(self, sources: Mapping[str, Source]) -> dict[str, ZonePoll]:
        """Zones that somebody has to poll, and how.

        A zone whose live policy was not seen yet is not polled: the file may name a zone of the
        platform that it had yesterday.
        """
        found = {zone: self._sources(zone, policy, sources) for zone, policy in self._live.items()}
        return {
            zone: ZonePoll(sources=polled, policy=self._live[zone])
            for zone, polled in found.items()
            if polled
        }

    def _sources(
        self, zone: str, policy: ZonePolicy, sources: Mapping[str, Source]
    ) -> tuple[Source, ...]:
        names = [name for name in policy.source_names if is_polled(name)]
        for name in names:
            if name not in sources:
                log.error("zone %s: its source %s is not in this replica's file", zone, name)
        return tuple(sources[name] for name in names if name in sources)


def source_types(sources: Mapping[str, Any]) -> dict[str, str]:
    """Type of each `[sources.X]` table, by its name."""
    return {name: str(one.type) for name, one in sources.items()}

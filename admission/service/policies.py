"""The zones' policies as this replica knows them: of the configuration file, and live.

The file names the zones and gives their first policies. The live policies are the ledger's, changed
over HTTP on any replica; polling and status follow the live ones.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping

from admission.domain.policy import ZonePolicy, compile_policy, digest, from_json, policy_json
from admission.errors import Invalid
from admission.ledger import StoredPolicy
from admission.sources import Source, is_polled
from admission.sources.polling import ZonePoll

log = logging.getLogger(__name__)


def stored_policy(policy: ZonePolicy) -> StoredPolicy:
    """A policy in the form in which the ledger stores it."""
    return StoredPolicy(
        digest=digest(policy), fields=compile_policy(policy), source=policy_json(policy)
    )


class PolicyRegistry:
    """The policy of each zone in the file, and the live policy that the ledger reported since.

    Example:
        policies = PolicyRegistry(settings.zones)
        ledger = Ledger(connection, on_policy=policies.on_policy)

    Args:
        zones: zone -> the policy of the configuration.

    Attributes:
        changed: set when a zone is to be polled in another way; the task that polls clears it.
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
        """The names of all zones, in the order of the file."""
        return self._file.keys()

    def of_file(self, zone: str) -> ZonePolicy:
        """A zone's policy in the file."""
        return self._file[zone]

    def live(self, zone: str) -> ZonePolicy:
        """The policy in force; the file's until the ledger reported one."""
        return self._live.get(zone) or self._file[zone]

    def differs_from_file(self, zone: str, live_digest: str) -> bool:
        """Whether the live policy differs from the file's."""
        return digest(self._file[zone]) != live_digest

    def reload(self, zones: Mapping[str, ZonePolicy]) -> None:
        """Take over a file that was read again. A zone that it lacks is served until a restart."""
        self._file = self._file | dict(zones)  # a new dict: a task may be iterating over the old

    def on_policy(self, zone: str, stored: StoredPolicy) -> None:
        """Take over a newer version that the ledger reported: its content, or its pauses alone."""
        if zone not in self._file or self._digests.get(zone) == stored.digest:
            return
        self._digests[zone] = stored.digest
        try:
            self._live[zone] = from_json(stored.source)
        except Invalid as fault:
            # The ledger decides by the compiled policy, so only the polling is outdated.
            self._live[zone] = self.live(zone)
            log.error(
                "zone %s: policy version %d is not understood by this version of the service; "
                "polling continues with the policy before: %s",
                zone,
                stored.version,
                fault.detail,
            )
        self.changed.set()

    def polls(self, sources: Mapping[str, Source]) -> dict[str, ZonePoll]:
        """Zones that have to be polled, and how.

        A zone whose live policy was not reported yet is not polled: the file may name an outdated
        zone of the platform.
        """
        found = {
            zone: self._select_sources(zone, policy, sources) for zone, policy in self._live.items()
        }
        return {
            zone: ZonePoll(sources=polled, policy=self._live[zone])
            for zone, polled in found.items()
            if polled
        }

    def _select_sources(
        self, zone: str, policy: ZonePolicy, sources: Mapping[str, Source]
    ) -> tuple[Source, ...]:
        names = [name for name in policy.source_names if is_polled(name)]
        for name in names:
            if name not in sources:
                log.error("zone %s: its source %s is not in this replica's file", zone, name)
        return tuple(sources[name] for name in names if name in sources)

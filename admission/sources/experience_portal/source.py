"""Avaya Experience Portal as a source: QueryResources, one answer for one zone.

The platform says how many ports there are over all protocols (used and unused together) and how
many are unused of each, so both channels form one group under one total. Source: Avaya's page on
QueryResources, and the platform page for names and what is assumed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.errors import SourceError
from admission.sources.base import ANY_ZONE, ConfiguredSource, PolledZone
from admission.sources.experience_portal.soap import Value, read_integer
from admission.sources.experience_portal.soap_client import SoapClient

TOTAL: Final = "totalRes_returned"
UNUSED: Final[Mapping[str, str]] = {"sip": "unusedSIP_returned", "h323": "unusedH323_returned"}


class ExperiencePortalSource(ConfiguredSource[ExperiencePortalSettings]):
    """Asks one Experience Portal system for snapshots.

    Args:
        name: as the configuration calls it.
        settings: where it is and how it is spoken to.

    Errors: ConfigError for a `ca_file` that cannot be used.
    """

    def __init__(self, name: str, settings: ExperiencePortalSettings) -> None:
        super().__init__(name, settings)
        self._client = SoapClient(settings)
        self._zone_field = settings.dialect.zone_field

    async def query(
        self, source_zone: str, channels: Sequence[str], zone: PolledZone = ANY_ZONE
    ) -> Snapshot:
        """Ask for the counts of one zone (`Source.query`).

        The legacy flavor has no field for the zone: what it answers is the default zone, whatever
        `source_zone` says, so one with several zones needs the current flavor.

        Args:
            source_zone: the platform's name of the zone; empty: its default zone.
            channels: those of the zone's policy. A protocol not among them is in the total only;
                the ledger's check that unused is not more than total is then weaker.
            zone: is not looked at.

        Errors: SourceError.
        """
        listed = [channel for channel in channels if channel in UNUSED]
        if not listed:
            raise SourceError(f"this platform counts {' and '.join(UNUSED)}: list one of them")
        answer = await self._client.call("QueryResources", self._request(source_zone))
        try:
            total = read_integer(answer, TOTAL)
            unused = {f"channel:{one}": read_integer(answer, UNUSED[one]) for one in listed}
        except SourceError as error:
            place = f"QueryResources at {self.settings.place}"
            raise SourceError(f"{place}: {error.detail}") from None
        return Snapshot(groups=(SnapshotGroup(total=total, unused=unused),))

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.close()

    def _request(self, source_zone: str) -> dict[str, Value]:
        """The int says nothing, but the legacy WSDL demands it."""
        fields: dict[str, Value] = {"queryResourcesRequestUnused": 0}
        if source_zone and self._zone_field:
            fields[self._zone_field] = source_zone
        return fields

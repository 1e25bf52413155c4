"""Avaya Experience Portal as a source: QueryResources, one answer for one zone.

The platform reports how many ports there are over all protocols (used and unused together) and how
many are unused of each, so both channels form one group under one total. Source: Avaya's page on
QueryResources; docs/platforms/experience-portal.md lists the names and the assumptions.
"""

from collections.abc import Mapping
from typing import Any, Final

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain import Snapshot, SnapshotGroup
from admission.domain.policy import ZonePolicy
from admission.errors import SourceError
from admission.sources.base import ConfiguredSource
from admission.sources.experience_portal.equal_zones import EqualZones
from admission.sources.experience_portal.soap import Value, read_integer
from admission.sources.experience_portal.soap_client import SoapClient

TOTAL: Final = "totalRes_returned"
UNUSED: Final[Mapping[str, str]] = {"sip": "unusedSIP_returned", "h323": "unusedH323_returned"}


class ExperiencePortalSource(ConfiguredSource[ExperiencePortalSettings]):
    """Queries one Experience Portal system for snapshots.

    Args:
        name: the X of `[sources.X]`.
        settings: the system's address and the dialect of its web service.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Example:
        source = ExperiencePortalSource("epm", settings)
        snapshot = await source.query("East", policy)
        await source.close()
    """

    def __init__(self, name: str, settings: ExperiencePortalSettings) -> None:
        super().__init__(name, settings)
        self._client = SoapClient(settings)
        self._equal_zones = EqualZones()

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        """Query the counts of one zone (`Source.query`).

        The `axis1` flavor has no field for the zone: it answers with the default zone, whatever
        `source_zone` says, so a system with several zones needs `axis2`.

        Args:
            zone: not used; the platform's name is `policy.source_zone`, None for its default zone.
            policy: of its `channels`, `sip` and `h323` are counted. The ports of a protocol that
                it does not list are in the total only; the ledger's check that no more ports are
                unused than there are is weaker then.

        Raises:
            SourceError: no usable answer, or the policy lists neither channel.
        """
        listed = [channel for channel in policy.channels if channel in UNUSED]
        if not listed:
            raise SourceError(f"this platform counts {' and '.join(UNUSED)}: list one of them")
        answer = await self._client.call("QueryResources", self._request(policy.source_zone))
        try:
            total = read_integer(answer, TOTAL)
            unused = {f"channel:{one}": read_integer(answer, UNUSED[one]) for one in listed}
        except SourceError as error:
            operation = f"QueryResources at {self.settings.place}"
            raise SourceError(f"{operation}: {error.detail}") from None
        warnings = self._equal_zones.note(policy.source_zone or "", (total, unused))
        return Snapshot(groups=(SnapshotGroup(total=total, unused=unused),), warnings=warnings)

    def forget_refusal(self) -> None:
        """Send the credentials with the next query (`RemembersRefusals`)."""
        self._client.forget_refusal()

    async def find_wsdl_differences(self) -> dict[str, Any]:
        """Key -> value of the settings that differ from what the portal's WSDL says.

        Raises:
            SourceError: there is no WSDL, or it cannot be read.
        """
        shape = await self._client.read_wsdl()
        dialect = self.settings.dialect
        present: dict[str, Any] = {
            "namespace": dialect.namespace,
            "request_element": dialect.request_element,
            "unused_field": dialect.unused_field,
            "zone_field": dialect.zone_field,
            "zone_first": dialect.zone_first,
            "field_namespace": dialect.namespace
            if dialect.field_namespace is None
            else dialect.field_namespace,
            "soap_action": dialect.soap_action,
            "soap_version": self.settings.soap_version,
        }
        return {key: value for key, value in shape.settings.items() if present[key] != value}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _request(self, source_zone: str | None) -> dict[str, Value]:
        dialect = self.settings.dialect
        # The integer has no meaning, but the axis1 WSDL requires it.
        unused: dict[str, Value] = {dialect.unused_field: 0} if dialect.unused_field else {}
        has_zone = bool(source_zone and dialect.zone_field)
        zone: dict[str, Value] = {dialect.zone_field: source_zone or ""} if has_zone else {}
        return zone | unused if dialect.zone_first else unused | zone

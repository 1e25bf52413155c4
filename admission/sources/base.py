"""The interface of every platform connection, and the two kinds of source without a connection.

A zone's policy names its sources. Most are one connection to a platform, which the poller queries
for snapshots. Two names are reserved:

* `push`: snapshots arrive through `PUT /v1/zones/{zone}/snapshots`; the poller does nothing.
* `static`: the zone has no snapshots. Its capacity is the limit, it is never stale, and it has no
  ceiling that an ending call could lower.

Neither has an object here: `is_polled` distinguishes them from the names of connections.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

from admission.config import SourceSection
from admission.domain import Snapshot
from admission.domain.policy import ZonePolicy
from admission.errors import SourceError
from admission.sources.secret_mask import SecretMask

PUSH: Final = "push"
STATIC: Final = "static"
UNPOLLED: Final = frozenset({PUSH, STATIC})
# One line of a log or a status page; long enough for a SOAP fault with its description.
LINE_CHARS_MAX: Final = 300
# Of a platform's text that is searched for secrets; more than what is shown can come from.
ECHO_CHARS_MAX: Final = 8_192

Settings = TypeVar("Settings", bound=SourceSection)


class RequestNotDelivered(SourceError):
    """The platform did not receive the request, or refused it unread: it has no effect there."""


class Source(Protocol):
    """One connection to one platform; it may serve several zones at the same time."""

    @property
    def name(self) -> str:
        """The X of `[sources.X]` in the configuration."""

    @property
    def min_interval_ms(self) -> int:
        """Shortest time in ms between the starts of two queries, over all zones of this process."""

    @property
    def timeout_ms(self) -> int:
        """Longest time in ms that a query takes, whatever the platform does."""

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        """Query the platform for the counts of one zone.

        Args:
            zone: the controller's name of the zone.
            policy: its live policy: `source_zone` is the platform's name of the zone, `channels`
                and `pools` are what may be counted.

        Returns:
            The platform's numbers unchanged: the ledger refuses and counts impossible ones.

        Raises:
            SourceError: and no other error; its detail is one line without secrets.
        """

    async def close(self) -> None:
        """Close the connections; a query under way fails. A second call does nothing."""


class ConfiguredSource(Generic[Settings]):
    """The part of a `Source` that follows from its settings.

    Args:
        name: the X of `[sources.X]`.
        settings: the platform's address, the query interval and the time-out.

    Example:
        class AcmeSource(ConfiguredSource[AcmeSettings]):
            async def query(self, zone: str, policy: ZonePolicy) -> Snapshot: ...
            async def close(self) -> None: ...
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings

    @property
    def min_interval_ms(self) -> int:
        """Shortest time in ms between the starts of two queries, over all zones."""
        return self.settings.min_interval_ms

    @property
    def timeout_ms(self) -> int:
        """Longest time in ms that a query takes."""
        return self.settings.timeout_ms


class GuidStore(Protocol):
    """Agents' session identifiers (Guids) that a desktop handed over, shared by all replicas.

    Every method may raise AdmissionError.
    """

    async def of(self, zone: str) -> Mapping[int, str]:
        """Return agent -> Guid for all agents of a zone."""

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        """Remove a Guid that the platform refused; a newer one of the agent stays."""


@runtime_checkable
class UsesAgentGuids(Protocol):
    """A source that can count with the sessions of agents whom another system signed in."""

    def use_guid_store(self, store: GuidStore) -> None:
        """Read Guids from this store in all later queries."""


@runtime_checkable
class RemembersRefusals(Protocol):
    """A source that does not send refused credentials again for a while."""

    def forget_refusal(self) -> None:
        """Send the credentials with the next query: an operator reloaded the configuration."""


def is_polled(source_name: str) -> bool:
    """Whether a zone's source of this name is a connection that the poller queries."""
    return source_name not in UNPOLLED


def sanitize_line(text: str, *, secrets: Collection[str] = ()) -> str:
    """Make a platform's text fit for one line of a log or a status page.

    Args:
        text: any text, also hostile; not cut before, as a part of a secret is not recognized.
        secrets: replaced by `***` where the platform echoes them, in any encoding.

    Returns:
        At most 300 printable characters.
    """
    masked = SecretMask(secrets)(text[:ECHO_CHARS_MAX])
    # \s would keep control characters that some terminals interpret; only printable ones stay.
    printable = "".join(c if c.isprintable() else " " for c in masked[: 4 * LINE_CHARS_MAX])
    line = re.sub(" +", " ", printable).strip()
    return line if len(line) <= LINE_CHARS_MAX else line[: LINE_CHARS_MAX - 1] + "…"

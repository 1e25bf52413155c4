"""What every platform connection offers, and the two kinds of source that have none.

A zone's policy names its sources. Most are one connection to a platform, which a poller asks for
snapshots. Two names are reserved:

* `push`: the zone is fed, but nobody polls it: whoever counts PUTs its snapshots.
* `static`: the zone is not fed at all. Its capacity is the limit, it is never stale, and no
  ceiling exists that an ending call could lower.

Neither is ever an object here: `is_polled` tells them from the names of connections.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

from admission.config.base import SourceSection
from admission.domain.snapshots import Snapshot

PUSH: Final = "push"
STATIC: Final = "static"
UNPOLLED: Final = frozenset({PUSH, STATIC})

LINE_CHARS_MAX: Final = 300

Settings = TypeVar("Settings", bound=SourceSection)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledZone:
    """What a platform that counts more than channels needs to know of the zone it is asked about.

    Args:
        name: ours, not the platform's.
        pools: named pools of its policy (`agent:1001`, `agent:*`) -> limit, None without one.
        max_age_ms: the zone is asked about more often than this, as long as it is polled here.
    """

    name: str = ""
    pools: Mapping[str, int | None] = field(default_factory=dict)
    max_age_ms: int = 10_000


ANY_ZONE: Final = PolledZone()


class Source(Protocol):
    """One connection to one platform; it may serve several zones at the same time.

    Attributes:
        name: as the configuration calls it.
        min_interval_ms: never start two queries closer together than this, over all zones. The
            poller sees to it, for its own process.
        timeout_ms: a query ends within this, whatever the platform does.
    """

    @property
    def name(self) -> str:
        """As the configuration calls it."""

    @property
    def min_interval_ms(self) -> int:
        """Shortest time in ms between the starts of two queries, over all zones."""

    @property
    def timeout_ms(self) -> int:
        """Longest time in ms that a query takes."""

    async def query(
        self, source_zone: str, channels: Sequence[str], zone: PolledZone = ANY_ZONE
    ) -> Snapshot:
        """Ask the platform for the counts of one zone.

        Args:
            source_zone: the platform's own name or id of the zone; empty: its default zone.
            channels: the channels that the zone's policy lists.
            zone: what else its policy says.

        Returns: its numbers as they are: the ledger refuses and counts what cannot be.
        Errors: SourceError, and nothing else, whose detail is one line without secrets.
        """

    async def close(self) -> None:
        """Let go of its connections; a query under way fails. Closing again does nothing."""


class ConfiguredSource(Generic[Settings]):
    """The part of a `Source` that its settings say.

    Args:
        name: as the configuration calls it.
        settings: where the platform is, how often and how long it is asked.
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
    """Keeps agents' sessions that were handed over. Any method may raise AdmissionError."""

    async def of(self, zone: str) -> Mapping[int, str]:
        """Agent -> the Guid of its session."""

    async def drop(self, zone: str, agent: int, guid: str) -> None:
        """That one is valid no more; a newer one stays."""


@runtime_checkable
class UsesAgentGuids(Protocol):
    """A source that counts with the sessions of agents who are signed in by somebody else."""

    def use_guid_store(self, store: GuidStore) -> None:
        """From now on, look there."""


def is_polled(source_name: str) -> bool:
    """Whether a zone's source of this name is a connection that a poller asks."""
    return source_name not in UNPOLLED


def sanitize_line(text: str, *, secret: str = "") -> str:
    """A platform's own words, made fit for one line of a log or a status page.

    Args:
        text: anything.
        secret: what must not be repeated, should the platform echo it; empty: nothing.
    """
    said = text.replace(secret, "***") if secret else text
    # \s would keep what some terminals obey; only what prints is kept
    plain = "".join(char if char.isprintable() else " " for char in said[: 4 * LINE_CHARS_MAX])
    line = re.sub(" +", " ", plain).strip()
    return line if len(line) <= LINE_CHARS_MAX else line[: LINE_CHARS_MAX - 1] + "…"

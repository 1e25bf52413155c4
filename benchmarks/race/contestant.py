"""What every contestant can be asked and told."""

from typing import Protocol

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.values import Counts


class Contestant:
    """Grants or denies; is told the rest, and may ignore it. Times in ms of virtual time.

    Attributes:
        own_views: each dialer decides by itself: what one is denied says nothing of the others.
        sees_all: knows at once what happens on the platform, as nobody can.
        renews: wants to hear every 20 s of each call that is up.
    """

    own_views = False
    sees_all = False
    renews = False

    def ask(self, dialer: int) -> str | None:
        """May this dialer launch one call now? A name for it, or None: who knows nothing denies."""
        return None

    def photograph(self, asked_at: int, counts: Counts) -> None:
        """A snapshot arrives."""

    def launched(self, call: str) -> None:
        """A dialer reports that it sent the launch."""

    def rings(self, call: str) -> None:
        """A dialer reports that the call rings or is connected."""

    def renew(self, call: str) -> None:
        """A dialer reports that the call is still up."""

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        """A dialer reports how the call ended, and when it learnt that."""


class Sight(Protocol):
    """What a contestant may look at by itself."""

    @property
    def now(self) -> int:
        """Virtual time."""

    def query(self) -> Counts:
        """The platform's answer to QueryResources, now."""

    def truly_free(self) -> int:
        """Free ports of which no granted call is on its way to one: the truth."""

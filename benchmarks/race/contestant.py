"""The interface of a contestant."""

from typing import Protocol

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.values import Counts


class Contestant:
    """Grants or denies launches; may ignore all other events. Times in ms of virtual time.

    Attributes:
        own_views: each dialer decides alone: a denial of one does not hold for the others.
        sees_all: knows every event of the platform at once, which no real controller can.
        renews: receives a renewal of each call every 20 s.
    """

    own_views = False
    sees_all = False
    renews = False

    def ask(self, dialer: int) -> str | None:
        """Return the name of a granted call, or None. Without any knowledge a contestant denies."""
        return None

    def get_server(self, call: str) -> str | None:
        """Return the media server that a granted call must take; None: the platform chooses."""
        return None

    def receive_snapshot(self, asked_at: int, counts: Counts) -> None:
        """Receive a snapshot."""

    def launched(self, call: str) -> None:
        """A dialer reports that it sent the launch."""

    def rings(self, call: str) -> None:
        """A dialer reports that the call rings or is connected."""

    def renew(self, call: str) -> None:
        """A dialer reports that the call is still up."""

    def ended(self, call: str, outcome: Outcome, learnt_at: int) -> None:
        """A dialer reports how the call ended, and when the dialer learnt of the end."""


class Sight(Protocol):
    """What a contestant may query."""

    @property
    def now(self) -> int:
        """Virtual time."""

    def query(self) -> Counts:
        """The platform's answer to QueryResources, now."""

    def truly_free(self) -> int:
        """Free ports of which no granted call is on its way to one: the truth."""

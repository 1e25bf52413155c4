"""The truth: which calls were granted, may still claim a port, or found none."""

from dataclasses import dataclass
from typing import Final

LATE_MS: Final = 5_000  # zone time may run behind by so much in all when its clock steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A reservation as it was granted.

    Args:
        at: simulated ms.
        claim_by: the platform takes its port until then, or never.
        snapshot_after: the newest snapshot of its channel was not taken before that.
        units: what its call takes: its channel's port; of a call centre licences and an agent.
    """

    channel: str
    units: tuple[str, ...]
    at: int
    claim_by: int
    snapshot_after: int


class Truth:
    """Recorded by the simulation; dialers and ledger do not see it."""

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {}
        self.launches = 0
        self.denied = 0
        self.claims = 0
        self.over_launches = 0
        self.mpp_misses = 0  # its own MPP had no port, another had
        self.excused = 0  # granted before the snapshot that shows a dead MPP
        self._ours: dict[str, Grant] = {}
        self._holding: set[str] = set()

    def granted(self, reservation: str, grant: Grant) -> None:
        """One more that may claim a port."""
        self.grants[reservation] = grant
        self._ours[reservation] = grant

    def claimed(self, reservation: str) -> None:
        """It has its port."""
        self.claims += 1
        self._holding.add(reservation)

    def over(self, reservation: str) -> None:
        """It has no port any more, or will never take one."""
        self._ours.pop(reservation, None)
        self._holding.discard(reservation)

    def ours(self, unit: str) -> list[str]:
        """The granted calls that hold one of these or may still claim one."""
        return [id_ for id_, grant in self._ours.items() if unit in grant.units]

    def forget(self, now: int) -> None:
        """Forget those that were not launched in time: they take no port any more."""
        late = [id_ for id_, grant in self._ours.items() if grant.claim_by < now]
        for id_ in late:
            if id_ not in self._holding:
                del self._ours[id_]

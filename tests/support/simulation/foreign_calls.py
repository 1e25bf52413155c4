"""Foreign calls. The promise assumes that they do not grow between snapshot and claim.

`gated` makes that true without keeping their number constant. Until the next snapshot our own
calls may take as many ports as the ceiling allows, beside those whose reservation expired and
that are still up. A foreign call takes a port only of what is left then. Snapshots from before
its begin are then not ingested. Foreign calls may end at any time.
"""

from random import Random
from typing import Final

from admission.sim.experience_portal.virtual_time import Loop
from admission.sim.values import Delay
from tests.support.simulation.controller import Controller
from tests.support.simulation.parameters import ZONE
from tests.support.simulation.truth import Truth

GAP_MS: Final = 300
HOLD: Final = Delay(low_ms=100, high_ms=30_000, mean_ms=4_000)


class Growth:
    """When a foreign call last took a port (simulated ms)."""

    def __init__(self) -> None:
        self.counted = 0
        self._at = -1
        self._matters = False

    def note(self, now: int, *, matters: bool) -> None:
        """A foreign call took a port now; `matters`: snapshots from before are not ingested."""
        self.counted += 1
        self._at, self._matters = now, matters

    def is_since(self, moment: int) -> bool:
        """Whether one took a port after that moment."""
        return self._matters and self._at > moment


class Foreign:
    """Foreign calls, which request no admission.

    Args:
        gated: they grow only where the promise holds.
    """

    def __init__(
        self,
        loop: Loop,
        random: Random,
        controller: Controller,
        truth: Truth,
        growth: Growth,
        channels: tuple[str, ...],
        *,
        gated: bool,
    ) -> None:
        self._loop = loop
        self._random = random
        self._controller = controller
        self._truth = truth
        self._growth = growth
        self._channels = channels
        self._gated = gated

    def arrive(self) -> None:
        """A foreign call begins now, and another later."""
        self._loop.after(1 + round(self._random.expovariate(1 / GAP_MS)), self.arrive)
        channel = self._random.choice(self._channels)
        portal = self._loop.platform()
        if self._gated and not self._is_harmless(channel, portal.zones[ZONE].free[channel]):
            return
        if portal.occupy(ZONE, 1, hold=HOLD, name=f"others-{channel}"):
            self._growth.note(self._loop.now, matters=self._gated)

    def _is_harmless(self, channel: str, free: int) -> bool:
        """Whether enough ports are left for what our own calls may still take."""
        if not free or self._controller.awaits_ingest():
            return False
        zone = self._loop.platform().zones[ZONE]
        ours = self._truth.ours(channel)
        holding = sum(
            call.channel == channel and not call.foreign
            for mpp in zone.mpps.values()
            for call in mpp.calls
        )
        in_use, ceiling = self._controller.stored_counts(f"channel:{channel}")
        given_up = len(ours) - self._controller.stored_live(ours)
        return free + holding - 1 >= max(in_use, ceiling) + given_up

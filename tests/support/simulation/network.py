"""The network: messages arrive late, twice, in another order, or never."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from admission.sim.experience_portal.virtual_time import Loop

USUAL_MS: Final = 15
SLOW_MS: Final = 2_500


class Network:
    """Carries messages in one direction, each with random delay and loss.

    Args:
        loss, double, slow: probabilities.
    """

    def __init__(
        self, loop: Loop, random: Random, *, loss: float, double: float, slow: float
    ) -> None:
        self._loop = loop
        self._random = random
        self._loss = loss
        self._double = double
        self._slow = slow

    def carry(self, deliver: Callable[..., None], *args: Any) -> None:
        """Deliver once, twice or not at all."""
        random = self._random.random
        if random() < self._loss:
            return
        self._loop.after(self._delay_ms(), deliver, *args)
        if random() < self._double:
            self._loop.after(self._delay_ms(), deliver, *args)

    def _delay_ms(self) -> int:
        # 1 ms at least: it pays for the drift of a stopwatch over a launch window.
        late = self._random.random() < self._slow
        return self._random.randint(1, SLOW_MS if late else USUAL_MS)

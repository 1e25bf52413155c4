"""Failures: state and clock of Redis, dialers, media servers, lost connections."""

from collections.abc import Callable
from random import Random
from typing import Final

from admission.sim.experience_portal.virtual_time import Loop
from tests.support.simulation.controller import Controller
from tests.support.simulation.dialer import Dialer
from tests.support.simulation.parameters import CLOCK_STEP_MS, ZONE, Parameters
from tests.support.simulation.scenarios import Scenario

HOUR_MS: Final = 3_600_000
# Between one failure of a kind and the next, on average.
LOSS_EVERY_MS: Final = 30_000
STEP_EVERY_MS: Final = 8_000
CRASH_EVERY_MS: Final = 15_000
MPP_EVERY_MS: Final = 40_000
STEPS_BACK: Final = (3, CLOCK_STEP_MS, 400, 5_000, HOUR_MS)


class Failures:
    """Causes the failures that the scenario allows.

    Args:
        note: appends to the event log.

    Attributes:
        stepped_at: when zone time last went slower than simulated time, or back (simulated ms).
        mpp_lost_at: when a media server last died.
    """

    def __init__(
        self,
        scenario: Scenario,
        loop: Loop,
        random: Random,
        controller: Controller,
        dialers: list[Dialer],
        parameters: Parameters,
        note: Callable[..., None],
    ) -> None:
        self.stepped_at = self.mpp_lost_at = -1
        self.over = False
        self._scenario = scenario
        self._loop = loop
        self._random = random
        self._controller = controller
        self._dialers = dialers
        self._parameters = parameters
        self._note = note

    def begin(self) -> None:
        """Schedule the first failure of each kind."""
        scenario = self._scenario
        if scenario.losses:
            self._every(LOSS_EVERY_MS, self._lose_state)
        if scenario.clock != "steady":
            self._every(STEP_EVERY_MS, self._step_clock)
        if scenario.crashes:
            self._every(CRASH_EVERY_MS, self._crash)
        if scenario.mpp_loss:
            self._every(MPP_EVERY_MS, self._lose_mpp)

    def _every(self, mean_ms: int, failure: Callable[[], None]) -> None:
        def again() -> None:
            if not self.over:
                failure()
                self._every(mean_ms, failure)

        # Never close together: what one step of the clock hides must be over before the next.
        self._loop.after(round(mean_ms * self._random.uniform(0.6, 1.4)), again)

    # -- state

    def _lose_state(self) -> None:
        kind = self._random.choice(self._scenario.losses)
        self._note("failure", kind)
        getattr(self, f"_{kind}")()

    def _flush(self) -> None:
        self._controller.flush()
        self.stepped_at = self._loop.now

    def _run_id(self) -> None:
        self._controller.restart()

    def _restore(self) -> None:
        state = self._controller.copy()
        self._loop.after(self._random.randint(1, 1_500), self._put_back, state)

    def _put_back(self, state: dict[str, bytes]) -> None:
        self._note("failure", "an older state is restored")
        self._controller.put_back(state)
        self.stepped_at = self._loop.now

    def _silence(self) -> None:
        self._controller.is_cut_off = True
        max_age = self._parameters.policy["max_age_ms"]
        self._loop.after(self._random.randint(max_age // 2, max_age * 3), self._reconnect)

    def _reconnect(self) -> None:
        self._controller.is_cut_off = False

    # -- time

    def _step_clock(self) -> None:
        step = self._random.choice([self._step_back, self._step_forward])()
        self._note("failure", "clock steps by", step)
        self._controller.offset_ms += step

    def _step_back(self) -> int:
        self.stepped_at = self._loop.now
        return -self._random.randint(1, self._random.choice(STEPS_BACK))

    def _step_forward(self) -> int:
        if self._scenario.clock == "wild":
            return self._random.randint(1, 5_000)
        if self._random.random() < 0.5:
            return self._random.randint(1, CLOCK_STEP_MS)
        return self._random.randint(self._parameters.policy["max_age_ms"] + 1, HOUR_MS)

    # -- processes and machines

    def _crash(self) -> None:
        self._random.choice(self._dialers).crash()

    def _lose_mpp(self) -> None:
        mpp = self._random.choice(list(self._parameters.mpps))
        self._note("failure", mpp, "dies")
        self._loop.platform().fail_mpp(ZONE, mpp)
        self.mpp_lost_at = self._loop.now
        self._loop.after(self._random.randint(500, 30_000), self._return_mpp, mpp)

    def _return_mpp(self, mpp: str) -> None:
        self._note("failure", mpp, "is back")
        self._loop.platform().restore_mpp(ZONE, mpp)

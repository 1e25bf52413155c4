"""A demo dialer: launches as many calls as permitted, and may crash.

    ask -> denied: wait for the returned time, ask again
        -> permitted: launch in time, follow the call, report; meanwhile ask for the next call

The same dialer runs with and without a controller, with another launch policy.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from admission.demo.calls import CallFeed, CallStep, Launcher, LaunchFailed
from admission.demo.launch_policies import Denial, LaunchPolicy, Permit
from admission.domain import Outcome
from admission.sim.values import Progress

# Concurrent calls of one dialer. All dialers together want more calls than there are ports.
CALLS_MAX: Final = 20
THINK_S: Final = (0.1, 0.5)
# A greedy dialer asks again within these bounds, whatever the answer says.
WAIT_MS_MIN: Final = 50
WAIT_MS_MAX: Final = 5_000
VXML_PART: Final = 0.4
DOWN_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DialerProfile:
    """The defects of a dialer.

    Args:
        ends_lost: share of its end reports that are lost, 0 to 1.
        life_s: shortest and longest time to a crash, in seconds; None: the dialer never crashes. A
            crashed dialer loses its calls and starts again.

    Example:
        `DialerProfile(ends_lost=0.15)`
    """

    ends_lost: float = 0.0
    life_s: tuple[float, float] | None = None


FLAWLESS: Final = DialerProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class DialerContext:
    """What all dialers of a demo share.

    Args:
        launch_policy: decides before each launch.
        launcher: launches on the platform.
        feed: events of the calls.
        stopwatch: monotonic seconds.

    Example:
        `DialerContext(launch_policy=policy, launcher=launcher, feed=feed, stopwatch=monotonic)`
    """

    launch_policy: LaunchPolicy
    launcher: Launcher
    feed: CallFeed
    stopwatch: Callable[[], float]


class Dialer:
    """One dialer.

    Args:
        name: unique; with the seed it determines all random numbers of the dialer.
        zone, campaign: where the dialer launches, and for which campaign.
        context: shared with the other dialers.
        profile: defects.
        seed: of the demo.

    Example:
        `await Dialer("sales-East-1", zone="East", campaign="sales", ...).run()`
    """

    def __init__(
        self,
        name: str,
        *,
        zone: str,
        campaign: str,
        context: DialerContext,
        profile: DialerProfile,
        seed: int,
    ) -> None:
        self.name = name
        self.zone = zone
        self.campaign = campaign
        self._launch_policy = context.launch_policy
        self._launcher = context.launcher
        self._feed = context.feed
        self._stopwatch = context.stopwatch
        self._profile = profile
        self._random = Random(f"{seed} {name}")

    async def run(self) -> None:
        """Dial until cancelled, with crashes and restarts as the profile says."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._draw_life_s()):
                    await self._dial()
            await asyncio.sleep(DOWN_S)

    def _draw_life_s(self) -> float | None:
        return self._random.uniform(*self._profile.life_s) if self._profile.life_s else None

    async def _dial(self) -> None:
        """Ask for call after call. A crash cancels this, and the dialer loses its calls."""
        slots = asyncio.Semaphore(CALLS_MAX)
        async with asyncio.TaskGroup() as calls:
            while True:
                await slots.acquire()
                decision = await self._launch_policy.ask(self.zone, self.campaign, self.name)
                if isinstance(decision, Permit):
                    call = calls.create_task(self._make_call(decision))
                    call.add_done_callback(lambda _: slots.release())
                    await asyncio.sleep(self._random.uniform(*THINK_S))
                else:
                    slots.release()
                    await asyncio.sleep(_bound_wait_s(decision))

    async def _make_call(self, permit: Permit) -> None:
        if self._is_late(permit):
            await self._launch_policy.end(permit, Outcome.NOT_LAUNCHED)
            return
        try:
            session = await self._launch(permit)
        except LaunchFailed as failed:
            await self._end(permit, failed.outcome)
            return
        with self._feed.follow(session) as steps:
            await self._follow(permit, session, steps)

    def _is_late(self, permit: Permit) -> bool:
        passed_ms = (self._stopwatch() - permit.asked_at) * 1000
        return passed_ms >= permit.launch_within_ms

    async def _launch(self, permit: Permit) -> str:
        """Launch by LaunchVXML, or by LaunchCCXML, which answers early. Raises LaunchFailed."""
        vxml = self._random.random() < VXML_PART
        launch = self._launcher.vxml if vxml else self._launcher.ccxml
        return await launch(
            zone=self.zone,
            campaign=self.campaign,
            channel=permit.channel,
            number=f"+1555{self._random.randrange(10**7):07}",
        )

    async def _follow(self, permit: Permit, session: str, steps: asyncio.Queue[CallStep]) -> None:
        """Report each step of the call, and renew the reservation before it expires."""
        while True:
            step = await self._await_step(permit, steps)
            if step is None:
                await self._launch_policy.renew(permit)
            elif step.progress is Progress.PORT_TAKEN:
                await self._launch_policy.launched(permit, session, step.mpp)
            elif step.progress is Progress.ENDED:
                await self._end(permit, step.outcome or Outcome.UNKNOWN)
                return

    async def _await_step(self, permit: Permit, steps: asyncio.Queue[CallStep]) -> CallStep | None:
        """Return the next step; None: the reservation must be renewed now."""
        patience_s = permit.renew_within_ms / 2000 or None
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                return await steps.get()
        return None

    async def _end(self, permit: Permit, outcome: Outcome) -> None:
        if self._random.random() >= self._profile.ends_lost:
            await self._launch_policy.end(permit, outcome)


def _bound_wait_s(decision: Denial) -> float:
    return min(max(decision.retry_after_ms, WAIT_MS_MIN), WAIT_MS_MAX) / 1000

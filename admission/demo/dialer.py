"""A demo dialer: greedy, honest by its own stopwatch, and mortal.

    ask -> refused: wait as told, ask again
        -> permitted: launch in time, follow the call, report; meanwhile ask for the next one

The same dialer runs with and without a controller; it only knows its launch_policy.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from admission.demo.calls import CallFeed, CallNews, Launcher, LaunchFailed
from admission.demo.launch_policies import Denial, LaunchPolicy, Permit
from admission.domain.outcomes import Outcome
from admission.sim.values import Progress

# So many calls of one dialer at once: more in all than there are ports, or it would not be greedy.
CALLS_MAX: Final = 20
THINK_S: Final = (0.1, 0.5)
# Whoever says when to ask again, a greedy dialer asks within these.
WAIT_MS_MIN: Final = 50
WAIT_MS_MAX: Final = 5_000
VXML_PART: Final = 0.4
DOWN_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DialerProfile:
    """What is wrong with a dialer.

    Args:
        ends_lost: the part of its end reports that never arrive.
        life_s: None, or it crashes after so many seconds (shortest, longest), forgets its calls
            and starts again.
    """

    ends_lost: float = 0.0
    life_s: tuple[float, float] | None = None


FLAWLESS: Final = DialerProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class DialerContext:
    """What every dialer of a demo shares: the way to the platform and back, and the stopwatch."""

    launch_policy: LaunchPolicy
    launcher: Launcher
    feed: CallFeed
    stopwatch: Callable[[], float]


class Dialer:
    """One dialer process.

    Args:
        name: its own.
        zone, campaign: whom it dials for, and where.
        context: what it dials with.
        profile: what is wrong with it.
        seed: of its draws.
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
        """Dial until cancelled; crash and come back as the profile say."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._life_s()):
                    await self._live()
            await asyncio.sleep(DOWN_S)

    def _life_s(self) -> float | None:
        return self._random.uniform(*self._profile.life_s) if self._profile.life_s else None

    async def _live(self) -> None:
        """Ask for call after call. A crash ends this, and with it all memory of the calls."""
        lines = asyncio.Semaphore(CALLS_MAX)
        async with asyncio.TaskGroup() as calls:
            while True:
                await lines.acquire()
                told = await self._launch_policy.ask(self.zone, self.campaign, self.name)
                if isinstance(told, Permit):
                    call = calls.create_task(self._call(told))
                    call.add_done_callback(lambda _: lines.release())
                    await asyncio.sleep(self._random.uniform(*THINK_S))
                else:
                    lines.release()
                    await asyncio.sleep(_wait_s(told))

    async def _call(self, permit: Permit) -> None:
        if self._late(permit):
            await self._launch_policy.end(permit, Outcome.NOT_LAUNCHED)
            return
        try:
            session = await self._launch(permit)
        except LaunchFailed as failed:
            await self._end(permit, failed.outcome)
            return
        with self._feed.follow(session) as news:
            await self._follow(permit, session, news)

    def _late(self, permit: Permit) -> bool:
        passed_ms = (self._stopwatch() - permit.asked_at) * 1000
        return passed_ms >= permit.launch_within_ms

    async def _launch(self, permit: Permit) -> str:
        """A blocking LaunchVXML or a LaunchCCXML that answers early. Errors: LaunchFailed."""
        vxml = self._random.random() < VXML_PART
        launch = self._launcher.vxml if vxml else self._launcher.ccxml
        return await launch(
            zone=self.zone,
            campaign=self.campaign,
            channel=permit.channel,
            number=f"+1555{self._random.randrange(10**7):07}",
        )

    async def _follow(self, permit: Permit, session: str, news: asyncio.Queue[CallNews]) -> None:
        """Report each step of the call, and that it is still up when there is no news for long."""
        while True:
            told = await self._next(permit, news)
            if told is None:
                await self._launch_policy.renew(permit)
            elif told.step is Progress.PORT_TAKEN:
                await self._launch_policy.launched(permit, session, told.mpp)
            elif told.step is Progress.ENDED:
                await self._end(permit, told.outcome or Outcome.UNKNOWN)
                return

    async def _next(self, permit: Permit, news: asyncio.Queue[CallNews]) -> CallNews | None:
        """The next news; None: it is time to renew."""
        patience_s = permit.renew_within_ms / 2000 or None
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                return await news.get()
        return None

    async def _end(self, permit: Permit, outcome: Outcome) -> None:
        if self._random.random() >= self._profile.ends_lost:
            await self._launch_policy.end(permit, outcome)


def _wait_s(told: Denial) -> float:
    return min(max(told.retry_after_ms, WAIT_MS_MIN), WAIT_MS_MAX) / 1000

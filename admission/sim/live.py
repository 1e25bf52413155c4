"""A simulated platform that runs in real time."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

Result = TypeVar("Result")


class Driven(Protocol):
    """A platform whose time its caller advances."""

    @property
    def next_at(self) -> int | None:
        """Time of the next event (simulated ms), None without any."""

    def advance(self, now: int) -> None:
        """Process all events up to `now` (simulated ms)."""


Platform = TypeVar("Platform", bound=Driven)


class RealTimeDriver(Generic[Platform]):
    """Runs a simulated platform in the time of the event loop, with one timer.

    Args:
        platform: used through this driver only. Its listener must not raise.

    Example:
        driver = RealTimeDriver(Portal(settings))
        driver.start()
        counts = driver.act(lambda portal: portal.query("East"))
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._loop: asyncio.AbstractEventLoop | None = None
        self._zero_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the time, inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._set_timer()

    def stop(self) -> None:
        """Stop the time."""
        self._loop = None
        if self._timer:
            self._timer.cancel()

    def act(self, action: Callable[[Platform], Result]) -> Result:
        """Advance the platform to the present, apply an action, and set the timer again."""
        self._catch_up()
        result = action(self._platform)
        self._set_timer()
        return result

    def _catch_up(self) -> None:
        if self._loop:
            self._platform.advance(int((self._loop.time() - self._zero_s) * 1000))

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        next_at = self._platform.next_at
        if self._loop and next_at is not None:
            # One ms later: a timer that fires early finds no event and is set again at once.
            self._timer = self._loop.call_at(self._zero_s + (next_at + 1) / 1000, self._tick)

    def _tick(self) -> None:
        self._catch_up()
        self._set_timer()

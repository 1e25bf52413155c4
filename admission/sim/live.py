"""A simulated platform that runs in real time."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

Result = TypeVar("Result")


class Driven(Protocol):
    """A platform in a time that its caller moves."""

    @property
    def next_at(self) -> int | None:
        """When the next thing happens (simulated ms), None if nothing will."""

    def advance(self, now: int) -> None:
        """Let everything happen that is due until `now` (simulated ms)."""


Platform = TypeVar("Platform", bound=Driven)


class RealTimeDriver(Generic[Platform]):
    """A platform whose time is the event loop's.

    Args:
        platform: touched by nobody else. Its listener must not raise.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._loop: asyncio.AbstractEventLoop | None = None
        self._zero_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Let time run. Call it inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._arm()

    def stop(self) -> None:
        """Let time stand still."""
        self._loop = None
        if self._timer:
            self._timer.cancel()

    def act(self, deed: Callable[[Platform], Result]) -> Result:
        """Bring the platform up to this moment, do something with it, and set the timer anew."""
        self._catch_up()
        result = deed(self._platform)
        self._arm()
        return result

    def _catch_up(self) -> None:
        if self._loop:
            self._platform.advance(int((self._loop.time() - self._zero_s) * 1000))

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        due = self._platform.next_at
        if self._loop and due is not None:
            # One ms late rather than early: an early timer finds nothing to do and spins.
            self._timer = self._loop.call_at(self._zero_s + (due + 1) / 1000, self._tick)

    def _tick(self) -> None:
        self._catch_up()
        self._arm()

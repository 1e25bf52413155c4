"""What became of each session, and who waits to hear it: the memory of the simulated pages."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from admission.sim.values import CallEvent, Progress

SESSIONS_MAX: Final = 20_000
EVENTS_MAX: Final = 20_000
WAITERS_MAX: Final = 5_000
FEED: Final = ""


class Crowded(Exception):
    """More requests wait than the simulator allows."""


class SessionLog:
    """The newest state of the last sessions, and the feed of the last events.

    A session's state: `session, seq, state (launched | port_taken | answered | ended), zone,
    campaign, application, outcome, mpp, channel, at`, plus what `opened` was given. `seq` counts
    events over all sessions; whoever has seen it asks for what is newer.
    """

    def __init__(self) -> None:
        self.closed = False
        self._seq = 0
        self._states: dict[str, dict[str, Any]] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._waiting = 0

    def opened(self, session: str, facts: Mapping[str, Any]) -> None:
        """A session was launched."""
        self._seq += 1
        self._states[session] = {
            "session": session,
            "seq": self._seq,
            "state": "launched",
            "outcome": None,
            **facts,
        }
        if len(self._states) > SESSIONS_MAX:
            del self._states[next(iter(self._states))]

    def heard(self, event: CallEvent) -> None:
        """A session went one step on. Wakes whoever waits for it."""
        self._seq += 1
        told = {**asdict(event), "seq": self._seq}
        told["state"] = told.pop("step")
        self._events.append(told)
        if event.session in self._states:
            self._states[event.session].update(told)
        self._wake(event.session)
        self._wake(FEED)

    def state(self, session: str) -> dict[str, Any] | None:
        """What is known of a session, None if it is unknown or forgotten."""
        return self._states.get(session)

    def since(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` events newer than `seq`, oldest first."""
        newer = []
        for event in reversed(self._events):
            if event["seq"] <= seq:
                break
            newer.append(event)
        return newer[::-1][:limit]

    async def settled(self, session: str) -> dict[str, Any] | None:
        """Wait until a session is answered or ended. None: the simulator closes."""
        while not self.closed:
            state = self._states.get(session)
            if state is None or state["state"] in (Progress.ANSWERED, Progress.ENDED):
                return state
            await self.wait(session, None)
        return None

    async def wait(self, key: str, timeout_s: float | None) -> None:
        """Wait for news of a session, or of any (`FEED`), so long at most (None: for ever).

        Errors: Crowded.
        """
        if self.closed:
            return
        if self._waiting >= WAITERS_MAX:
            raise Crowded
        news = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, set()).add(news)
        self._waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await news
        finally:
            self._waiting -= 1
            self._forget(key, news)

    def close(self) -> None:
        """Let everybody go."""
        self.closed = True
        for key in list(self._waiters):
            self._wake(key)

    def _wake(self, key: str) -> None:
        for news in self._waiters.pop(key, ()):
            if not news.done():
                news.set_result(None)

    def _forget(self, key: str, news: asyncio.Future[None]) -> None:
        waiting = self._waiters.get(key)
        if waiting is not None:
            waiting.discard(news)
            if not waiting:
                del self._waiters[key]

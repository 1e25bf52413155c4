"""The states of simulated sessions, their event feed, and requests that wait for news of them."""

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


class TooManyWaiters(Exception):
    """More requests wait than the simulator allows."""


class SessionLog:
    """The newest state of the last sessions, and the feed of the last events.

    The state of a session: `session, seq, state (launched | port_taken | answered | ended), zone,
    campaign, application, outcome, mpp, channel, at`, and the facts of `record_launch`. `seq`
    counts events over all sessions; a reader passes the last one that it has.
    """

    def __init__(self) -> None:
        self.closed = False
        self._seq = 0
        self._states: dict[str, dict[str, Any]] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._waiting = 0

    def record_launch(self, session: str, facts: Mapping[str, Any]) -> None:
        """Add a session that was launched."""
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

    def record(self, event: CallEvent) -> None:
        """Add an event of a session and wake the requests that wait for it."""
        self._seq += 1
        entry = {**asdict(event), "seq": self._seq}
        entry["state"] = entry.pop("step")
        self._events.append(entry)
        if event.session in self._states:
            self._states[event.session].update(entry)
        self._wake(event.session)
        self._wake(FEED)

    def state(self, session: str) -> dict[str, Any] | None:
        """Return the state of a session, None if it is unknown or was removed."""
        return self._states.get(session)

    def since(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """Return up to `limit` events newer than `seq`, oldest first."""
        newer = []
        for event in reversed(self._events):
            if event["seq"] <= seq:
                break
            newer.append(event)
        return newer[::-1][:limit]

    async def wait_until_decided(self, session: str) -> dict[str, Any] | None:
        """Return the state of a session once answered or ended; None: the simulator closes."""
        while not self.closed:
            state = self._states.get(session)
            if state is None or state["state"] in (Progress.ANSWERED, Progress.ENDED):
                return state
            await self.wait(session, None)
        return None

    async def wait(self, key: str, timeout_s: float | None) -> None:
        """Wait for an event of a session, or of any (`FEED`), for `timeout_s` (None: without
        limit).

        Raises:
            TooManyWaiters: `WAITERS_MAX` requests wait already.
        """
        if self.closed:
            return
        if self._waiting >= WAITERS_MAX:
            raise TooManyWaiters
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
        """Wake every waiting request, and let no other wait."""
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

"""Agents' sessions at the simulated CC-Gateway: their Guids and their expiry.

A sign-in creates a Guid. After `guid_changes_s` the next event poll returns a new one; the old one
stays valid until `guid_valid_s`. After `silence_s` without a request the agent is signed out.
"""

import asyncio
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from admission.sim.huawei.config import HuaweiSettings

GOOD: Final = "0"
AUTHENTICATION_EXPIRED: Final = "000-003"
SIGNED_IN_ALREADY: Final = "100-002"
BAD_CREDENTIALS: Final = "100-004"
NOT_SIGNED_IN: Final = "100-006"


class Refusal(Exception):
    """The gateway refuses a request.

    Args:
        retcode: of the answer.
    """

    def __init__(self, retcode: str) -> None:
        super().__init__(retcode)
        self.retcode = retcode


@dataclass(slots=True, eq=False)
class Session:
    """One agent who is signed in.

    Args:
        cookie: that every request must send.
        guids: the newest ones with the second of their issue, newest last.
        seen_at: second of the last request.
        news: set when an event poll must be answered.
    """

    cookie: str
    guids: list[tuple[str, float]]
    seen_at: float
    news: asyncio.Event = field(default_factory=asyncio.Event)


class AgentSessions:
    """The sessions of all agents.

    Args:
        settings: ids, password, times.
        clock: returns seconds since some moment.

    Attributes:
        sign_ins: agent -> number of sign-ins, including forced ones.
    """

    def __init__(self, settings: HuaweiSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions: dict[int, Session] = {}
        self.closed = False
        self.gateway = 1
        self.sign_ins: dict[int, int] = {}

    def signed_in(self) -> list[int]:
        """Return the agents who are signed in."""
        return [agent for agent in list(self._sessions) if self._find_live(agent)]

    def sign_in(self, agent: int, password: str, *, force: bool) -> Session:
        """Begin a session.

        Raises:
            Refusal: wrong credentials, or signed in already.
        """
        exists = agent in self._settings.center.agents
        correct = hmac.compare_digest(password.encode(), self._settings.agent_password.encode())
        if not exists or not correct:
            raise Refusal(BAD_CREDENTIALS)
        if self._find_live(agent) and not force:
            raise Refusal(SIGNED_IN_ALREADY)
        self.forget(agent)
        session = Session(uuid4().hex, [self._new_guid()], self._clock())
        self._sessions[agent] = session
        self.sign_ins[agent] = self.sign_ins.get(agent, 0) + 1
        return session

    def check(self, agent: int, guid: str, cookie: str) -> Session:
        """Return the session of a request.

        Raises:
            Refusal: the agent is not signed in, or Guid or cookie are not valid.
        """
        session = self._find_live(agent)
        if session is None:
            raise Refusal(NOT_SIGNED_IN)
        oldest = self._clock() - self._settings.guid_valid_s
        valid = [one for one, at in session.guids if at >= oldest or not self._settings.rotates]
        if guid not in valid or (self._settings.needs_cookies and cookie != session.cookie):
            raise Refusal(AUTHENTICATION_EXPIRED)
        session.seen_at = self._clock()
        return session

    async def event(self, agent: int, session: Session) -> str | None:
        """Answer an event poll: a new Guid, or None after `event_wait_s`.

        Raises:
            Refusal: the session ended.
        """
        if not self._needs_new_guid(session) and not session.news.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s(session)):
                    await session.news.wait()
        if self._sessions.get(agent) is not session:
            raise Refusal(NOT_SIGNED_IN)
        session.seen_at = self._clock()
        if self.closed or not (session.news.is_set() or self._needs_new_guid(session)):
            return None
        session.news.clear()
        session.guids = [*session.guids[-2:], self._new_guid()]
        return session.guids[-1][0]

    def rotate(self, agent: int) -> None:
        """Change the Guid now. Raises KeyError if the agent is not signed in."""
        self._sessions[agent].news.set()

    def retire(self, agent: int) -> None:
        """Invalidate all Guids but the newest. Raises KeyError if the agent is not signed in."""
        session = self._sessions[agent]
        session.guids = session.guids[-1:]

    def expire(self, agent: int) -> None:
        """Invalidate all Guids. Raises KeyError if the agent is not signed in."""
        self._sessions[agent].guids = [self._new_guid()]

    def switch_over(self) -> None:
        """Switch to another gateway, which issues Guids of its own and has the same sessions."""
        self.gateway += 1

    def forget(self, agent: int) -> None:
        """Sign the agent out."""
        if session := self._sessions.pop(agent, None):
            session.news.set()

    def close(self) -> None:
        """Answer all waiting event polls."""
        self.closed = True
        for session in self._sessions.values():
            session.news.set()

    def _find_live(self, agent: int) -> Session | None:
        session = self._sessions.get(agent)
        if session and self._clock() - session.seen_at > self._settings.silence_s:
            self.forget(agent)
            return None
        return session

    def _needs_new_guid(self, session: Session) -> bool:
        age_s = self._clock() - session.guids[-1][1]
        return self._settings.rotates and age_s >= self._settings.guid_changes_s

    def _wait_s(self, session: Session) -> float:
        if not self._settings.rotates:
            return self._settings.event_wait_s
        change_s = session.guids[-1][1] + self._settings.guid_changes_s - self._clock()
        return max(0.0, min(self._settings.event_wait_s, change_s))

    def _new_guid(self) -> tuple[str, float]:
        return f"{uuid4()}.AgentGateway{self.gateway}", self._clock()

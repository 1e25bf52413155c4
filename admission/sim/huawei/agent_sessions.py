"""Agents' sessions at the simulated CC-Gateway: who is signed in, with which Guids, until when.

signed out --sign in--> signed in: a Guid
a Guid changes after `guid_changes_s`, told by the next event poll; the old one stays valid for a
while; nobody asks for `silence_s`: signed out
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
    """The gateway says no. Args: retcode."""

    def __init__(self, retcode: str) -> None:
        super().__init__(retcode)
        self.retcode = retcode


@dataclass(slots=True, eq=False)
class Session:
    """One agent who is signed in.

    Args:
        guids: those that are valid or were, with the second of their issue, newest last.
        cookie: what must be brought back.
        seen_at: when it last asked for anything.
        news: set when an event poll has something to tell.
    """

    cookie: str
    guids: list[tuple[str, float]]
    seen_at: float
    news: asyncio.Event = field(default_factory=asyncio.Event)


class AgentSessions:
    """All agents.

    Args:
        settings: ids, password, times.
        clock: seconds since whenever.

    Attributes:
        sign_ins: agent -> how often it signed in, also by force.
    """

    def __init__(self, settings: HuaweiSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions: dict[int, Session] = {}
        self.closed = False
        self.gateway = 1
        self.sign_ins: dict[int, int] = {}

    def signed_in(self) -> list[int]:
        """The agents who are."""
        return [agent for agent in list(self._sessions) if self._live(agent)]

    def sign_in(self, agent: int, password: str, *, force: bool) -> Session:
        """A new session. Errors: Refusal."""
        known = agent in self._settings.center.agents
        right = hmac.compare_digest(password.encode(), self._settings.agent_password.encode())
        if not known or not right:
            raise Refusal(BAD_CREDENTIALS)
        if self._live(agent) and not force:
            raise Refusal(SIGNED_IN_ALREADY)
        self.forget(agent)
        session = Session(uuid4().hex, [self._new_guid()], self._clock())
        self._sessions[agent] = session
        self.sign_ins[agent] = self.sign_ins.get(agent, 0) + 1
        return session

    def check(self, agent: int, guid: str, cookie: str) -> Session:
        """The session that a request belongs to. Errors: Refusal."""
        session = self._live(agent)
        if session is None:
            raise Refusal(NOT_SIGNED_IN)
        oldest = self._clock() - self._settings.guid_valid_s
        valid = [one for one, at in session.guids if at >= oldest or not self._settings.rotates]
        if guid not in valid or (self._settings.needs_cookies and cookie != session.cookie):
            raise Refusal(AUTHENTICATION_EXPIRED)
        session.seen_at = self._clock()
        return session

    async def event(self, agent: int, session: Session) -> str | None:
        """What an event poll learns: a new Guid, or nothing after a while. Errors: Refusal."""
        if not self._due(session) and not session.news.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s(session)):
                    await session.news.wait()
        if self._sessions.get(agent) is not session:
            raise Refusal(NOT_SIGNED_IN)
        session.seen_at = self._clock()
        if self.closed or not (session.news.is_set() or self._due(session)):
            return None
        session.news.clear()
        session.guids = [*session.guids[-2:], self._new_guid()]
        return session.guids[-1][0]

    def rotate(self, agent: int) -> None:
        """The Guid changes now. Errors: KeyError: the agent is not signed in."""
        self._sessions[agent].news.set()

    def retire(self, agent: int) -> None:
        """Only the newest Guid is valid from now on. Errors: KeyError: it is not signed in."""
        session = self._sessions[agent]
        session.guids = session.guids[-1:]

    def expire(self, agent: int) -> None:
        """No Guid of the agent is valid any more. Errors: KeyError: it is not signed in."""
        self._sessions[agent].guids = [self._new_guid()]

    def switch_over(self) -> None:
        """Another gateway takes over: it issues Guids of its own and knows the sessions."""
        self.gateway += 1

    def forget(self, agent: int) -> None:
        """The agent is signed out."""
        if session := self._sessions.pop(agent, None):
            session.news.set()

    def close(self) -> None:
        """Answer whoever still waits."""
        self.closed = True
        for session in self._sessions.values():
            session.news.set()

    def _live(self, agent: int) -> Session | None:
        session = self._sessions.get(agent)
        if session and self._clock() - session.seen_at > self._settings.silence_s:
            self.forget(agent)
            return None
        return session

    def _due(self, session: Session) -> bool:
        age_s = self._clock() - session.guids[-1][1]
        return self._settings.rotates and age_s >= self._settings.guid_changes_s

    def _patience_s(self, session: Session) -> float:
        if not self._settings.rotates:
            return self._settings.event_wait_s
        due_s = session.guids[-1][1] + self._settings.guid_changes_s - self._clock()
        return max(0.0, min(self._settings.event_wait_s, due_s))

    def _new_guid(self) -> tuple[str, float]:
        return f"{uuid4()}.AgentGateway{self.gateway}", self._clock()

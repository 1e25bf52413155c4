"""One agent's session that this service owns: signed in, kept alive, signed out.

    sign in --refused--> pause (longer and longer) --> sign in
       | signed in
    event poll, 0.2-0.5 s, event poll ... each may bring the next Guid
       | the session is lost
    sign in

Signing out leaves an agent alone who is talking: the gateway ends that session by itself when
nothing was asked for two minutes.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Final

from admission.config.sources.huawei import AgentSettings
from admission.errors import SourceError
from admission.sources.huawei.gateway_client import (
    BAD_CREDENTIALS,
    LOST,
    SIGNED_IN_ALREADY,
    GatewayClient,
    GatewayFault,
    Ticket,
)

log = logging.getLogger(__name__)

# Between an event poll's answer and the next poll, as the platform's documents want it.
EVENT_GAP_S: Final = (0.2, 0.5)
ABANDON_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBackoff:
    """When to try again. Seconds.

    Args:
        first_s, max_s: after a failure, doubling. A session shorter than `max_s` is one, too.
        refused_first_s, refused_max_s: after refused credentials, which a platform may lock.
    """

    first_s: float = 1.0
    max_s: float = 30.0
    refused_first_s: float = 60.0
    refused_max_s: float = 600.0

    def pause_s(self, failures: int, *, refused: bool) -> float:
        """The pause after so many failures in a row (at least 1), with jitter."""
        first_s, max_s = self.first_s, self.max_s
        if refused:
            first_s, max_s = self.refused_first_s, self.refused_max_s
        return min(max_s, first_s * 2.0 ** min(failures - 1, 20)) * random.uniform(0.75, 1.0)


class OwnedSession:
    """Keeps one agent signed in until `leave`.

    Args:
        client: of the gateway.
        agent: whose session it is.
        force: whether to throw out who is signed in elsewhere as this agent.
        sign_ins: bounds how many agents sign in at a time.
        polls: bounds how many event polls are under way at a time.
        pace: when to try again.

    Attributes:
        reason: why it is not signed in, one line.
        settled: set once the first attempt to sign in is over.
    """

    def __init__(
        self,
        client: GatewayClient,
        agent: AgentSettings,
        *,
        force: bool,
        sign_ins: asyncio.Semaphore,
        polls: asyncio.Semaphore,
        pace: SessionBackoff,
    ) -> None:
        self.reason = "it is signing in"
        self.settled = asyncio.Event()
        self._client = client
        self._agent = agent
        self._force = force
        self._sign_ins = sign_ins
        self._polls = polls
        self._pace = pace
        self._ticket: Ticket | None = None
        self._lost = asyncio.Event()
        self._failures = 0
        self._task = asyncio.create_task(self._run(), name=f"session of agent {agent.id}")

    async def count(self) -> int:
        """How many calls the agent has. Errors: SourceError."""
        ticket = self._ticket
        if ticket is None:
            raise SourceError(self.reason)
        try:
            return await self._client.callnums(self._agent.id, ticket)
        except GatewayFault as fault:
            if fault.retcode in LOST and ticket is self._ticket:
                self._lost.set()
            raise

    async def leave(self) -> None:
        """Stop, and sign the agent out unless it is talking. Raises nothing."""
        ticket = self._ticket
        await self.abandon()
        if ticket is None:
            return
        try:
            if await self._client.callnums(self._agent.id, ticket) == 0:
                await self._client.sign_out(self._agent.id, ticket)
        except SourceError as error:
            log.debug("agent %d was not signed out: %s", self._agent.id, error.detail)

    async def abandon(self) -> None:
        """Stop without signing out: somebody else has the agent's session now."""
        self._ticket = None
        self._task.cancel()
        # Not awaited as such: who is cancelled while waiting here must hear of it, and nothing
        # that a connection still does may hold up the end.
        await asyncio.wait({self._task}, timeout=ABANDON_S_MAX)

    async def _run(self) -> None:
        while True:
            self._ticket = ticket = await self._signed_in()
            self._lost.clear()
            began_s = asyncio.get_running_loop().time()
            await self._keep_alive(ticket)
            self._ticket = None
            lasted_s = asyncio.get_running_loop().time() - began_s
            self._failures = 0 if lasted_s > self._pace.max_s else self._failures + 1
            # The first loss is mended at once: sessions expire. What keeps being lost is not.
            if self._failures > 1:
                await asyncio.sleep(self._pace.pause_s(self._failures - 1, refused=False))

    async def _signed_in(self) -> Ticket:
        """Sign in, however often it takes."""
        while True:
            try:
                async with self._sign_ins:
                    return await self._sign_in()
            except SourceError as error:
                self.reason = error.detail
                refused = isinstance(error, GatewayFault) and error.retcode == BAD_CREDENTIALS
            except Exception as error:
                log.exception("agent %d: signing in failed", self._agent.id)
                self.reason, refused = f"unexpected {type(error).__name__}", False
            finally:
                self.settled.set()
            self._failures += 1
            await asyncio.sleep(self._pace.pause_s(self._failures, refused=refused))

    async def _sign_in(self) -> Ticket:
        try:
            return await self._client.sign_in(self._agent)
        except GatewayFault as fault:
            if fault.retcode != SIGNED_IN_ALREADY or not self._force:
                raise
        return await self._client.sign_in(self._agent, force=True)

    async def _keep_alive(self, ticket: Ticket) -> None:
        """Return when the session is lost."""
        polling = asyncio.create_task(self._poll_events(ticket))
        lost = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({polling, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (polling, lost):
                task.cancel()
            ended, _ = await asyncio.gather(polling, lost, return_exceptions=True)
        if isinstance(ended, Exception):
            log.error("agent %d: event polls failed", self._agent.id, exc_info=ended)

    async def _poll_events(self, ticket: Ticket) -> None:
        failures = 0
        while True:
            try:
                async with self._polls:
                    await self._client.event(self._agent.id, ticket)
                failures = 0
            except SourceError as error:
                if isinstance(error, GatewayFault) and error.retcode in LOST:
                    return
                failures += 1
                await asyncio.sleep(self._pace.pause_s(failures, refused=False))
            await asyncio.sleep(random.uniform(*EVENT_GAP_S))

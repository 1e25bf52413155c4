"""One agent's session that this service owns: sign-in, event polls, sign-out.

    sign in --refused--> the agent's gate lets no other try pass for minutes --> sign in
       | signed in
    event poll, 0.2-0.5 s, event poll ... each may return the next Guid
       | the session is lost
    sign in

An agent with a call is not signed out: the gateway ends that session by itself after two minutes
without a request.
"""

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from admission.config.secret_refs import read_again
from admission.config.sources.huawei import AgentSettings
from admission.errors import SourceError
from admission.sources.authentication import CredentialGate, CredentialsRefused
from admission.sources.huawei.gateway_client import (
    LOST,
    SIGNED_IN_ALREADY,
    GatewayClient,
    GatewayFault,
    Ticket,
)
from admission.tasks import Backoff

log = logging.getLogger(__name__)

# Between an event poll's answer and the next poll: Huawei's page on the event interface.
EVENT_GAP_S: Final = (0.2, 0.5)
# An orderly cancellation takes milliseconds; a connection that hangs must not delay a shutdown.
CANCEL_S_MAX: Final = 1.0
FAILED: Final = Backoff(min_s=1.0, max_s=30.0, jitter=0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBackoff:
    """Pauses between attempts to sign in and to poll.

    Args:
        failed: after a failure. A session that lasts less than its longest pause counts as one.
            After refused credentials the agent's gate decides whether they are sent again.

    Example:
        SessionBackoff().failed.pause_s(3)  # 3.0 to 4.0
    """

    failed: Backoff = FAILED


class OwnedSession:
    """Keeps one agent signed in until `leave` or `abandon`; the constructor starts the task.

    Args:
        client: of the gateway.
        agent: the owner of the session.
        force: whether a session that the agent has elsewhere is ended.
        sign_ins: bounds how many agents sign in at the same time.
        event_polls: bounds how many event polls are under way at the same time.
        backoff: pauses between attempts.
        gate: of the agent's password; it outlives this session.

    Attributes:
        reason: why the agent is not signed in, one line.
        attempted: set after the first attempt to sign in, whatever its result.

    Example:
        session = OwnedSession(client, agent, force=False, sign_ins=a, event_polls=b, backoff=c,
                               gate=d)
        await session.attempted.wait()
        calls = await session.count_calls()
        await session.leave()
    """

    def __init__(
        self,
        client: GatewayClient,
        agent: AgentSettings,
        *,
        force: bool,
        sign_ins: asyncio.Semaphore,
        event_polls: asyncio.Semaphore,
        backoff: SessionBackoff,
        gate: CredentialGate,
    ) -> None:
        self.reason = "it is signing in"
        self.attempted = asyncio.Event()
        self._client = client
        self._agent = agent
        self._force = force
        self._sign_ins = sign_ins
        self._event_polls = event_polls
        self._backoff = backoff
        self._ticket: Ticket | None = None
        self._gate = gate
        self._is_refused = False
        self._lost = asyncio.Event()
        self._hurried = asyncio.Event()
        self._failures = 0
        self._task = asyncio.create_task(self._run(), name=f"session of agent {agent.id}")

    async def count_calls(self) -> int:
        """Return the number of calls that the agent has.

        Raises:
            SourceError: the agent is not signed in, or the gateway does not answer.
        """
        ticket = self._ticket
        if ticket is None:
            raise (CredentialsRefused if self._is_refused else SourceError)(self.reason)
        try:
            return await self._client.count_calls(self._agent.id, ticket)
        except GatewayFault as fault:
            if fault.retcode in LOST and ticket is self._ticket:
                self._lost.set()
            raise

    def try_again(self) -> None:
        """End a pause between attempts to sign in."""
        self._hurried.set()

    async def leave(self) -> None:
        """Stop, and sign the agent out unless it has a call. Raises nothing."""
        ticket = self._ticket
        await self.abandon()
        if ticket is None:
            return
        try:
            if await self._client.count_calls(self._agent.id, ticket) == 0:
                await self._client.sign_out(self._agent.id, ticket)
        except SourceError as error:
            log.debug("agent %d was not signed out: %s", self._agent.id, error.detail)

    async def abandon(self) -> None:
        """Stop without signing the agent out: another system owns the session now."""
        self._ticket = None
        self._task.cancel()
        # `wait` instead of `await task`: a cancellation of the caller must reach the caller, and a
        # connection that does not end must not delay it.
        await asyncio.wait({self._task}, timeout=CANCEL_S_MAX)

    async def _run(self) -> None:
        while True:
            self._ticket = ticket = await self._sign_in_repeatedly()
            self._lost.clear()
            began_s = asyncio.get_running_loop().time()
            await self._keep_alive(ticket)
            self._ticket = None
            lasted_s = asyncio.get_running_loop().time() - began_s
            self._failures = 0 if lasted_s > self._backoff.failed.max_s else self._failures + 1
            # A first loss needs no pause, since sessions expire; repeated losses do.
            if self._failures > 1:
                await asyncio.sleep(self._backoff.failed.pause_s(self._failures - 1))

    async def _sign_in_repeatedly(self) -> Ticket:
        while True:
            try:
                async with self._sign_ins:
                    return await self._sign_in()
            except SourceError as error:
                self.reason = error.detail
                self._is_refused = isinstance(error, CredentialsRefused)
            except Exception as error:
                log.exception("agent %d: signing in failed", self._agent.id)
                self.reason, self._is_refused = f"unexpected {type(error).__name__}", False
            finally:
                self.attempted.set()
            self._failures += 1
            await self._pause(self._backoff.failed.pause_s(self._failures))

    async def _pause(self, longest_s: float) -> None:
        self._hurried.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._hurried.wait()

    async def _sign_in(self) -> Ticket:
        password = read_again(self._agent.password).get_secret_value()
        async with self._gate.attempt(password) as accept:
            ticket = await self._sign_in_or_force()
            accept()
            return ticket

    async def _sign_in_or_force(self) -> Ticket:
        try:
            return await self._client.sign_in(self._agent)
        except GatewayFault as fault:
            if fault.retcode != SIGNED_IN_ALREADY or not self._force:
                raise
        return await self._client.sign_in(self._agent, force=True)

    async def _keep_alive(self, ticket: Ticket) -> None:
        """Poll events until the session is lost."""
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
                async with self._event_polls:
                    await self._client.poll_event(self._agent.id, ticket)
                failures = 0
            except SourceError as error:
                if isinstance(error, GatewayFault) and error.retcode in LOST:
                    return
                failures += 1
                await asyncio.sleep(self._backoff.failed.pause_s(failures))
            await asyncio.sleep(random.uniform(*EVENT_GAP_S))

"""Keeps refused credentials from being sent again at polling pace: accounts get locked.

One gate for each account. Until the platform accepted the credentials once, one request at a time
carries them, so that ten zones do not try a wrong password ten times at once. After a refusal none
does until the pause is over. The pause outlasts the 300 s for which Tomcat's LockOutRealm locks an
account: a try during that time would lock it anew. It doubles, so that policies which count
failures over half an hour see three.

A changed secret ends the pause; so does a reload, which builds the source anew.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from admission.sources.base import RequestNotDelivered

PAUSE_S_MIN: Final = 330.0
PAUSE_S_MAX: Final = 3_600.0


class CredentialsRefused(RequestNotDelivered):
    """The platform refuses the credentials, or did and they have not changed since.

    Args:
        detail: one line for the operator.
        date: the server's clock as its Date header has it; empty without one.
    """

    def __init__(self, detail: str, *, date: str = "") -> None:
        super().__init__(detail)
        self.date = date


class CredentialGate:
    """The state of one account.

    Args:
        now_s: a monotonic clock, in seconds.

    Example:
        gate = CredentialGate()
        async with gate.attempt(password) as accept:
            ...  # one exchange; it raises CredentialsRefused where the platform refuses
            accept()  # the platform accepted the credentials, whatever it answers
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._is_proven = False
        self._one_at_a_time = asyncio.Lock()
        self._refusals = 0
        self._reason = ""
        self._secret = ""
        self._next_at_s = 0.0

    @asynccontextmanager
    async def attempt(
        self, secret: str, *, wait_s: float | None = None
    ) -> AsyncIterator[Callable[[], None]]:
        """Pass one exchange that carries the secret.

        Args:
            secret: as it is sent now; another one than was refused passes at once.
            wait_s: longest wait for the first exchange that proves the credentials; None: no limit.

        Yields:
            A function to call once the platform accepted the credentials. An exchange that ends
            without it, and without CredentialsRefused, says nothing of them.

        Raises:
            CredentialsRefused: without an exchange: these were refused, and the pause is not over.
        """
        async with self._take_turn(wait_s):
            self._check(secret)
            try:
                yield self._accept
            except CredentialsRefused as error:
                self._refuse(secret, error.detail)
                raise CredentialsRefused(self._describe(), date=error.date) from None

    def forget(self) -> None:
        """Let the next exchange pass, as if nothing had been refused."""
        self._refusals = 0

    @asynccontextmanager
    async def _take_turn(self, wait_s: float | None) -> AsyncIterator[None]:
        held = False
        if not self._is_proven:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    held = await self._one_at_a_time.acquire()
        try:
            yield
        finally:
            if held:
                self._one_at_a_time.release()

    def _accept(self) -> None:
        self._is_proven = True
        self._refusals = 0

    def _check(self, secret: str) -> None:
        if self._is_paused(secret):
            raise CredentialsRefused(self._describe())

    def _describe(self) -> str:
        minutes = max(1, round((self._next_at_s - self._now_s()) / 60))
        return (
            f"{self._reason}; not sent again for {minutes} min, so that the account is not locked: "
            "correct the credentials, then reload (SIGHUP)"
        )

    def _is_paused(self, secret: str) -> bool:
        is_refused = self._refusals > 0 and secret == self._secret
        return is_refused and self._now_s() < self._next_at_s

    def _refuse(self, secret: str, reason: str) -> None:
        if self._is_paused(secret):
            return  # by another exchange that was under way
        self._refusals = self._refusals + 1 if secret == self._secret else 1
        pause_s = min(PAUSE_S_MIN * 2 ** min(self._refusals - 1, 10), PAUSE_S_MAX)
        self._is_proven = False
        self._secret, self._reason = secret, reason
        self._next_at_s = self._now_s() + pause_s

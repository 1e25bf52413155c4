"""The client without async: the same one, on an event loop in a thread of its own."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from admission.client.answers import Denied, Listed, Reported
from admission.client.client import AdmissionClient, AskOptions
from admission.client.grant import SETTLE_S, Grant, Granted
from admission.domain.outcomes import Outcome
from admission.errors import Unavailable

T = TypeVar("T")


class BlockingGrant:
    """A `Grant` for the use of threads. Made by `BlockingClient`.

    Attributes:
        grant: the one that it stands for; its fields may be read from any thread.
    """

    def __init__(self, grant: Grant, client: "BlockingClient") -> None:
        self.grant = grant
        self._client = client

    @property
    def id(self) -> str:
        """Of the reservation."""
        return self.grant.id

    @property
    def channel(self) -> str:
        """On which channel it may be launched."""
        return self.grant.channel

    @property
    def report_url(self) -> str | None:
        """Where the application's page may report for this call."""
        return self.grant.report_url

    def launch_within_s(self) -> float:
        """Seconds in which it may be launched still; 0 or less: it must not be launched."""
        return self.grant.launch_within_s()

    def launched(
        self, *, port_taken: bool = False, session_id: str | None = None, mpp: str | None = None
    ) -> None:
        """The call was launched (`Grant.launched`)."""
        self._client.soon(
            lambda: self.grant.launched(port_taken=port_taken, session_id=session_id, mpp=mpp)
        )

    def ended(
        self,
        outcome: Outcome | str = Outcome.COMPLETED,
        *,
        platform_code: str | None = None,
        ended_at: int | None = None,
    ) -> None:
        """The call is over, now (`Grant.ended`)."""
        said = Outcome(outcome)
        # The moment is this one, and not when the loop comes to it.
        moment = self.grant.zone_now() if ended_at is None else ended_at
        self._client.soon(
            lambda: self.grant.ended(said, platform_code=platform_code, ended_at=moment)
        )

    def handed_over(self) -> None:
        """From now on somebody else reports (`Grant.handed_over`)."""
        self._client.soon(self.grant.handed_over)

    def settled(self, timeout_s: float | None = None) -> Reported | None:
        """Wait until all reports so far are answered (`Grant.settled`)."""
        return self._client.run(self.grant.settled(timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        outcome = Outcome.COMPLETED if kind is None else Outcome.UNKNOWN
        moment = self.grant.zone_now()

        def leave() -> None:
            if not self.grant.over:
                self.grant.ended(outcome, ended_at=moment)

        self._client.soon(leave)
        self.settled(SETTLE_S)


class BlockingClient:
    """`AdmissionClient` for threads: `with BlockingClient(url) as client:`.

    Args: as of `AdmissionClient`.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self._client = AdmissionClient(url, **settings)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="admission client", daemon=True
        )
        self._thread.start()
        self.run(self._client.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop = self._running()
        try:
            self.run(self._client.__aexit__(kind, exc, trace))
        finally:
            self._loop = None
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    @contextmanager
    def admission(
        self, campaign: str, *, patience_s: float = 0.0, **options: Unpack[AskOptions]
    ) -> Iterator[BlockingGrant]:
        """One launch (`AdmissionClient.admission`)."""
        grant = self.run(self._client.granted(campaign, patience_s, options))
        with BlockingGrant(grant, self) as held:
            yield held

    def ask(self, campaign: str, **options: Unpack[AskOptions]) -> Granted | Denied:
        """May I launch? (`AdmissionClient.ask`)"""
        return self.run(self._client.ask(campaign, **options))

    def hold(self, answer: Granted) -> list[BlockingGrant]:
        """The grants of an answer, each to be used in a `with` of its own, by any thread."""
        return [BlockingGrant(one, self) for one in answer.grants]

    def reservations(
        self, zone: str, *, campaign: str = "", owner: str = "", state: str = "live"
    ) -> list[Listed]:
        """What the service holds (`AdmissionClient.reservations`), all of it."""
        pages = self._client.reservations(zone, campaign=campaign, owner=owner, state=state)

        async def everything() -> list[Listed]:
            return [one async for one in pages]

        return self.run(everything())

    @contextmanager
    def using(self, resource: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Hold something of the loop's, such as a `PortalLauncher`, in a `with`."""
        opened = self.run(_entered(resource))
        try:
            yield opened
        finally:
            self.run(_left(resource, *sys.exc_info()))

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop and wait for it."""
        try:
            task = asyncio.run_coroutine_threadsafe(what, self._running())
        except Unavailable:
            what.close()
            raise
        try:
            return task.result()
        except BaseException:
            task.cancel()  # whoever waited was interrupted: so is what it waited for
            raise

    def soon(self, what: Callable[[], None]) -> None:
        """Run something on the loop without waiting."""
        self._running().call_soon_threadsafe(what)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise Unavailable("this client is not open: use it in a `with`")
        return self._loop


async def _entered(resource: AbstractAsyncContextManager[T]) -> T:
    return await resource.__aenter__()


async def _left(resource: AbstractAsyncContextManager[Any], *why: Any) -> None:
    await resource.__aexit__(*why)

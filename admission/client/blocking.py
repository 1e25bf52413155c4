"""The client without async: an `AdmissionClient` on an event loop in its own thread."""

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
from admission.domain import Outcome
from admission.errors import Unavailable

T = TypeVar("T")


class BlockingGrant:
    """A `Grant` for threads. `BlockingClient` creates blocking grants.

    Attributes:
        grant: the async grant; its fields may be read from any thread.

    Example:
        `with grant: grant.launched(port_taken=True)`
    """

    def __init__(self, grant: Grant, client: "BlockingClient") -> None:
        self.grant = grant
        self._client = client

    @property
    def id(self) -> str:
        """The id of the reservation."""
        return self.grant.id

    @property
    def channel(self) -> str:
        """The channel to launch on."""
        return self.grant.channel

    @property
    def report_url(self) -> str | None:
        """The URL where the page of the application may report."""
        return self.grant.report_url

    def launch_within_s(self) -> float:
        """Return the seconds left to launch; 0 or less: the call must not be launched."""
        return self.grant.launch_within_s()

    def launched(
        self, *, port_taken: bool = False, session_id: str | None = None, mpp: str | None = None
    ) -> None:
        """Report that the call was launched (`Grant.launched`)."""
        self._client.call_soon(
            lambda: self.grant.launched(port_taken=port_taken, session_id=session_id, mpp=mpp)
        )

    def ended(
        self,
        outcome: Outcome | str = Outcome.COMPLETED,
        *,
        platform_code: str | None = None,
        ended_at: int | None = None,
    ) -> None:
        """Report that the call has ended (`Grant.ended`)."""
        reported = Outcome(outcome)
        # The call ends now, not when the event loop runs the report.
        moment = self.grant.zone_now() if ended_at is None else ended_at
        self._client.call_soon(
            lambda: self.grant.ended(reported, platform_code=platform_code, ended_at=moment)
        )

    def handed_over(self) -> None:
        """Stop reporting: the page of the application reports (`Grant.handed_over`)."""
        self._client.call_soon(self.grant.handed_over)

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

        self._client.call_soon(leave)
        self.settled(SETTLE_S)


class BlockingClient:
    """`AdmissionClient` for threads.

    Args: as of `AdmissionClient`.

    Example:
        ```python
        with BlockingClient(url) as client, client.admission("collections") as grant:
            ...
        ```
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
        loop = self._get_loop()
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
        """Request one launch (`AdmissionClient.admission`)."""
        grant = self.run(self._client.request_grant(campaign, patience_s, options))
        with BlockingGrant(grant, self) as held:
            yield held

    def ask(self, campaign: str, **options: Unpack[AskOptions]) -> Granted | Denied:
        """Request launches (`AdmissionClient.ask`)."""
        return self.run(self._client.ask(campaign, **options))

    def hold(self, answer: Granted) -> list[BlockingGrant]:
        """Return the grants of an answer; each may be used by another thread."""
        return [BlockingGrant(one, self) for one in answer.grants]

    def reservations(
        self, zone: str, *, campaign: str = "", owner: str = "", state: str = "live"
    ) -> list[Listed]:
        """Return all pages of `AdmissionClient.reservations`."""
        pages = self._client.reservations(zone, campaign=campaign, owner=owner, state=state)

        async def collect() -> list[Listed]:
            return [one async for one in pages]

        return self.run(collect())

    @contextmanager
    def using(self, resource: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Open an async resource, such as a `PortalLauncher`, for the time of the block."""
        opened = self.run(_enter(resource))
        try:
            yield opened
        finally:
            self.run(_exit(resource, *sys.exc_info()))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop, and return its result."""
        try:
            task = asyncio.run_coroutine_threadsafe(coroutine, self._get_loop())
        except Unavailable:
            coroutine.close()
            raise
        try:
            return task.result()
        except BaseException:
            task.cancel()  # the waiting thread was interrupted: so is the coroutine
            raise

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run a callback on the event loop without waiting for it."""
        self._get_loop().call_soon_threadsafe(callback)

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise Unavailable("this client is not open: use it in a `with` block")
        return self._loop


async def _enter(resource: AbstractAsyncContextManager[T]) -> T:
    return await resource.__aenter__()


async def _exit(resource: AbstractAsyncContextManager[Any], *why: Any) -> None:
    await resource.__aexit__(*why)

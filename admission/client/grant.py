"""A granted call: launch it in time, report its progress; the end is reported in every case.

Reports are sent in the background: a call never waits for the controller. `settled` waits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol, Self

from admission.client.answers import Reported, Reservation, _Answer
from admission.domain import Outcome

# The end of the block waits so long for the reports; then they continue in the background.
SETTLE_S: Final = 2.0


class Registry(Protocol):
    """The services of the client that a grant uses."""

    def zone_now(self, zone: str) -> int | None:
        """Return a lower bound of the zone time in ms."""

    def stopwatch(self) -> float:
        """Return monotonic seconds."""

    def report(self, grant: "Grant", verb: str, body: dict[str, Any]) -> None:
        """Send a report in the background."""

    def keep(self, grant: "Grant") -> None:
        """Renew the grant from now on."""

    def forget(self, grant: "Grant") -> None:
        """Renew the grant no longer."""

    async def settled(self, grant: "Grant", timeout_s: float | None) -> bool:
        """Wait until the reports of the grant are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms that all grants of one admission request share.

    Args:
        launch_by: of the stopwatch, in seconds.
        pools: the named pools of the request.
        shadow: the zone is in shadow mode, and would have denied the launch.

    Example:
        `Terms(request_id="r", launch_by=1.3)`
    """

    request_id: str
    launch_by: float
    pools: Sequence[str] = ()
    shadow: bool = False


class Grant:
    """One call that may be launched. `AdmissionClient` creates grants.

    Use a grant as `async with grant:`. The call is reported as ended however the block is left:

    * with the outcome passed to `ended`, if `ended` was called;
    * else as `completed`, if the block ends without an exception;
    * else as `unknown`: the call may still be up, so its port stays counted until a snapshot of the
      platform has shown whether it is free.

    Attributes:
        reservation: what was granted.
        terms: shared with the other grants of the request.
        port_taken, session_id, mpp: as reported so far.
        answered: the answer to the last report; None: no answer yet.

    Example:
        `async with grant: grant.launched(port_taken=True)`
    """

    def __init__(self, reservation: Reservation, terms: Terms, registry: Registry) -> None:
        self.reservation = reservation
        self.terms = terms
        self.mpp = reservation.mpp
        self.port_taken = False
        self.session_id: str | None = None
        self.answered: Reported | None = None
        self._registry = registry
        self._over = False
        self._unsure = False

    def __repr__(self) -> str:
        return f"<Grant {self.id} {self.channel}>"

    @property
    def id(self) -> str:
        """The id of the reservation."""
        return self.reservation.id

    @property
    def zone(self) -> str:
        """The zone of the reservation."""
        return self.reservation.zone

    @property
    def channel(self) -> str:
        """The channel to launch on: another channel has ports of other grants."""
        return self.reservation.channel

    @property
    def report_url(self) -> str | None:
        """The URL where the page of the application may report without credentials."""
        return self.reservation.report_url

    @property
    def over(self) -> bool:
        """Whether the call was reported as ended, also as `unknown`, or was handed over."""
        return self._over or self._unsure

    def launch_within_s(self) -> float:
        """Return the seconds left to launch; 0 or less: the call must not be launched."""
        return self.terms.launch_by - self._registry.stopwatch()

    @property
    def late(self) -> bool:
        """Whether the time to launch is over: end the grant with `not_launched` and ask again."""
        return self.launch_within_s() <= 0

    def zone_now(self) -> int | None:
        """Return a lower bound of the zone time in ms, to be passed to `ended` later."""
        return self._registry.zone_now(self.zone)

    def launched(
        self, *, port_taken: bool = False, session_id: str | None = None, mpp: str | None = None
    ) -> None:
        """Report that the call was launched.

        Args:
            port_taken: the call certainly rings or is connected. After an end with `unknown` the
                call counts as up again.
            session_id: of the call on the platform.
            mpp: the MPP that placed the call.
        """
        if self._over or (self._unsure and not port_taken):
            return
        if self._unsure:
            self._unsure = False
            self._registry.keep(self)
        self.port_taken = self.port_taken or port_taken
        self.session_id = session_id or self.session_id
        self.mpp = mpp or self.mpp
        self._registry.report(self, "launched", self.restate_launch())

    def ended(
        self,
        outcome: Outcome | str = Outcome.COMPLETED,
        *,
        platform_code: str | None = None,
        ended_at: int | None = None,
    ) -> None:
        """Report that the call has ended. Only `unknown` may be followed by another report.

        Args:
            outcome: one of `Outcome`. After `unknown` the call may be up, or be connected later.
            platform_code: of the platform; a code that the service knows replaces the outcome.
            ended_at: zone time in ms (`zone_now`), if the call ended before now.

        Raises:
            ValueError: there is no such outcome.
        """
        reported = Outcome(outcome)
        if self._over:
            return
        moment = self.zone_now() if ended_at is None else ended_at
        body: dict[str, Any] = {"outcome": reported.value}
        if reported is not Outcome.UNKNOWN and moment is not None:
            body["ended_at"] = math.floor(moment)
        if platform_code:
            body["platform_code"] = platform_code
        self._unsure = reported is Outcome.UNKNOWN
        self._over = not self._unsure
        self._registry.forget(self)
        self._registry.report(self, "end", body)

    def handed_over(self) -> None:
        """Stop reporting: the page of the application reports from now on, by `report_url`."""
        self._over = True
        self._registry.forget(self)

    async def settled(self, timeout_s: float | None = None) -> Reported | None:
        """Wait until all reports so far are answered.

        Args:
            timeout_s: in seconds; None: no limit.

        Returns: the answer to the last report; None: no answer yet.
        """
        await self._registry.settled(self, timeout_s)
        return self.answered

    def restate(self) -> dict[str, Any]:
        """Return the facts that a service that lost its state needs to count the call again."""
        one = self.reservation
        facts: dict[str, Any] = {"zone": one.zone, "channel": one.channel, "campaign": one.campaign}
        if self.mpp:
            facts["mpp"] = self.mpp
        return facts | {"pools": list(self.terms.pools)}

    def restate_launch(self) -> dict[str, Any]:
        """Return a `launched` report with all reported facts."""
        body: dict[str, Any] = {"port_taken": self.port_taken, "reservation": self.restate()}
        if self.session_id:
            body["session_id"] = self.session_id
        if self.mpp:
            body["mpp"] = self.mpp
        return body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.over:
            self.ended(Outcome.COMPLETED if kind is None else Outcome.UNKNOWN)
        await self.settled(SETTLE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted(_Answer):
    """The launches are granted. `admitted` is True.

    Args:
        granted: number of launches; fewer than requested if there is a `reason`.
        launch_within_ms: counted from the time when the request was sent.
        grants: one for each launch; none after a dry run.
        repeated: this is the answer to an earlier, equal request.
        shadow: the zone is in shadow mode, and would have denied the launches.

    Example:
        `if isinstance(answer, Granted): await asyncio.gather(*map(dial, answer.grants))`
    """

    granted: int
    launch_within_ms: int
    grants: "tuple[Grant, ...]" = ()
    repeated: bool = False
    shadow: bool = False
    admitted: bool = field(default=True, init=False)

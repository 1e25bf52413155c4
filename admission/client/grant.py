"""A granted call: launch it in time, say how it goes, and it ends whatever happens.

Reports are handed over, not awaited: a call never waits for the controller. `settled` waits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol, Self

from admission.client.answers import Reported, Reservation, _Answer
from admission.domain.outcomes import Outcome

# Leaving the block waits so long for the reports; then they go on by themselves.
SETTLE_S: Final = 2.0


class Registry(Protocol):
    """What a grant needs of its client."""

    def zone_now(self, zone: str) -> int | None:
        """The zone's time in ms is at least this."""

    def stopwatch(self) -> float:
        """Monotonic seconds."""

    def report(self, grant: "Grant", verb: str, body: dict[str, Any]) -> None:
        """Send a report in the background."""

    def keep(self, grant: "Grant") -> None:
        """Renew it from now on."""

    def forget(self, grant: "Grant") -> None:
        """Renew it no longer."""

    async def settled(self, grant: "Grant", timeout_s: float | None) -> bool:
        """Wait until its reports are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one ask said of all of its grants.

    Args:
        launch_by: of the stopwatch, in seconds.
        pools: the named pools that were asked for.
    """

    request_id: str
    launch_by: float
    pools: Sequence[str] = ()
    shadow: bool = False


class Grant:
    """One call that may be launched. Made by `AdmissionClient`, never by its user.

    Use it as `async with grant:`. However the block is left, the call is reported as ended:

    * with what `ended` was told, if it was told;
    * else as `completed`, when the block ends by itself;
    * else, by an exception, as `unknown`: perhaps the call is up still, so its port stays counted
      until a photograph of the platform has shown what is true.

    Attributes:
        reservation: what was granted.
        terms: how.
        port_taken, session_id, mpp: as reported so far.
        answered: what the service said to the last report; None: nothing yet.
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
        """Of the reservation."""
        return self.reservation.id

    @property
    def zone(self) -> str:
        """Where it may be launched."""
        return self.reservation.zone

    @property
    def channel(self) -> str:
        """On which channel: on another it would take a port that somebody else was granted."""
        return self.reservation.channel

    @property
    def report_url(self) -> str | None:
        """Where the application's page may report for this call, without credentials."""
        return self.reservation.report_url

    @property
    def over(self) -> bool:
        """It was reported as ended, if only as `unknown`, or handed over."""
        return self._over or self._unsure

    def launch_within_s(self) -> float:
        """Seconds in which it may be launched still; 0 or less: it must not be launched."""
        return self.terms.launch_by - self._registry.stopwatch()

    @property
    def late(self) -> bool:
        """The time to launch is over: end it with `not_launched` and ask again."""
        return self.launch_within_s() <= 0

    def zone_now(self) -> int | None:
        """The zone's time in ms is at least this: noted when a call ends, it can be said later."""
        return self._registry.zone_now(self.zone)

    def launched(
        self, *, port_taken: bool = False, session_id: str | None = None, mpp: str | None = None
    ) -> None:
        """The call was launched.

        Args:
            port_taken: it rings or is connected, for sure; after an `unknown` it is heard of again.
            session_id: the platform's name for it.
            mpp: the MPP that placed it.
        """
        if self._over or (self._unsure and not port_taken):
            return
        if self._unsure:
            self._unsure = False
            self._registry.keep(self)
        self.port_taken = self.port_taken or port_taken
        self.session_id = session_id or self.session_id
        self.mpp = mpp or self.mpp
        self._registry.report(self, "launched", self.restated_report())

    def ended(
        self,
        outcome: Outcome | str = Outcome.COMPLETED,
        *,
        platform_code: str | None = None,
        ended_at: int | None = None,
    ) -> None:
        """The call is over, now. Said once; only after `unknown` something may be said again.

        Args:
            outcome: one of `Outcome`. `unknown`: it may be up still, or come to be.
            platform_code: the platform's own code; if the service knows it, it decides.
            ended_at: zone time in ms (`zone_now`), if it ended before now.

        Raises:
            ValueError: no such outcome.
        """
        said = Outcome(outcome)
        if self._over:
            return
        moment = self.zone_now() if ended_at is None else ended_at
        body: dict[str, Any] = {"outcome": said.value}
        if said is not Outcome.UNKNOWN and moment is not None:
            body["ended_at"] = math.floor(moment)
        if platform_code:
            body["platform_code"] = platform_code
        self._unsure = said is Outcome.UNKNOWN
        self._over = not self._unsure
        self._registry.forget(self)
        self._registry.report(self, "end", body)

    def handed_over(self) -> None:
        """From now on somebody else reports: the application's page, through `report_url`."""
        self._over = True
        self._registry.forget(self)

    async def settled(self, timeout_s: float | None = None) -> Reported | None:
        """Wait until all reports so far are answered.

        Args:
            timeout_s: None: as long as it takes.

        Returns: what the service said to the last one; None: nothing yet.
        """
        await self._registry.settled(self, timeout_s)
        return self.answered

    def restated(self) -> dict[str, Any]:
        """What a service that lost its state needs to count this call again."""
        one = self.reservation
        told: dict[str, Any] = {"zone": one.zone, "channel": one.channel, "campaign": one.campaign}
        if self.mpp:
            told["mpp"] = self.mpp
        return told | {"pools": list(self.terms.pools)}

    def restated_report(self) -> dict[str, Any]:
        """A `launched` that says all there is to say."""
        body: dict[str, Any] = {"port_taken": self.port_taken, "reservation": self.restated()}
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
    """It may launch. `admitted` is True.

    Args:
        granted: launches; fewer than were asked for where `reason` says why.
        launch_within_ms: counted from when the request was sent.
        grants: one for each launch; none after a dry run.
        repeated: the answer to an earlier, equal request.
        shadow: it would have been denied, but the zone only watches.
    """

    granted: int
    launch_within_ms: int
    grants: "tuple[Grant, ...]" = ()
    repeated: bool = False
    shadow: bool = False
    admitted: bool = field(default=True, init=False)

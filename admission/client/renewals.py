"""Renewals: whoever holds a grant need not think of them. And what a service lost is told again.

A renewal restates its reservation, so a service that lost its state counts the call again. Where
an answer shows that a zone has lost its state, all of that zone's calls are restated at once.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from admission.client.answers import Reported, reported_of
from admission.client.grant import Grant
from admission.client.transport import Call, Reply, Transport
from admission.client.zone_clock import Stopwatch
from admission.domain.types import BATCH_MAX
from admission.errors import AdmissionError, Unavailable

log = logging.getLogger(__name__)

# However long a reservation lasts without it: so soon a service that lost its state hears of it.
RENEW_EVERY_S: Final = 60.0
AGAIN_S: Final = (0.5, 2.0)  # after a failure, drawn anew each time
REFUSED_AGAIN_S: Final = (10.0, 20.0)  # an operator may have to mend the policy
TIMEOUT_S: Final = 10.0
_FAILED: Final = 500


class Renewals:
    """Keeps grants alive, many with one request.

    Args:
        transport: to the service.
        stopwatch: monotonic seconds.
        on_reply: told every answer, and of which grant it is.
    """

    def __init__(
        self, transport: Transport, stopwatch: Stopwatch, on_reply: Callable[[str, Reply], None]
    ) -> None:
        self._transport = transport
        self._stopwatch = stopwatch
        self._on_reply = on_reply
        self._kept: dict[str, Grant] = {}
        self._due: dict[str, float] = {}
        self._lost: set[str] = set()  # ids that are to be restated and not only renewed
        self._asked: frozenset[str] = frozenset()  # ids whose renewal is under way
        self._answered_all = asyncio.Event()  # of those
        self._wake = asyncio.Event()
        self._first = math.inf  # when the next is due, as `run` last saw it

    @property
    def kept(self) -> int:
        """Grants that are renewed."""
        return len(self._kept)

    def keep(self, grant: Grant) -> None:
        """Renew it from now on."""
        self._kept[grant.id] = grant
        self._next(grant.id, grant.reservation.renew_within_ms)

    def forget(self, grant: Grant) -> None:
        """Renew it no longer."""
        self._kept.pop(grant.id, None)
        self._due.pop(grant.id, None)
        self._lost.discard(grant.id)

    def under_way(self, id: str) -> asyncio.Event | None:
        """Set as soon as the renewal of it that is under way is over, however; None: none is."""
        return self._answered_all if id in self._asked else None

    def restate(self, zone: str) -> None:
        """The zone has lost its state: tell it of every call that it should count, now."""
        now = self._stopwatch()
        for id, grant in self._kept.items():
            if grant.zone == zone:
                self._lost.add(id)
                self._due[id] = now
        self._wake.set()

    async def run(self) -> None:
        """Renew whatever is due, until cancelled."""
        while True:
            await self._until_due()
            now = self._stopwatch()
            due = [id for id, at in self._due.items() if at <= now][:BATCH_MAX]
            if due:
                await self._renew([self._kept[id] for id in due])

    async def _until_due(self) -> None:
        self._wake.clear()
        self._first = min(self._due.values(), default=math.inf)
        delay_s = max(0.0, self._first - self._stopwatch())
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(delay_s) else delay_s):
                await self._wake.wait()

    async def _renew(self, grants: Sequence[Grant]) -> None:
        restated = {one.id for one in grants if one.id in self._lost}
        self._asked, self._answered_all = frozenset(one.id for one in grants), asyncio.Event()
        try:
            results = await self._ask(grants)
        finally:
            self._asked = frozenset()
            self._answered_all.set()
        for grant, result in zip(grants, results, strict=True):
            if grant.id in self._kept:
                self._renewed(grant, result, restated=grant.id in restated)

    async def _ask(self, grants: Sequence[Grant]) -> list[dict[str, Any]]:
        call = Call(
            method="POST",
            path="/v1/reservations/batch",
            timeout_s=TIMEOUT_S,
            body={"reports": [self._report(one) for one in grants]},
        )
        try:
            reply = await self._transport.call(call)
            results = _results(reply, len(grants))
        except AdmissionError as fault:
            log.warning("%d calls are not renewed yet: %s", len(grants), fault)
            return [{"status": _FAILED}] * len(grants)
        self._hear(reply, grants, results)
        return results

    def _hear(
        self, reply: Reply, grants: Sequence[Grant], results: Sequence[dict[str, Any]]
    ) -> None:
        """Each answer of a batch carries its own zone's time."""
        for grant, result in zip(grants, results, strict=True):
            if "now" in result:
                self._on_reply(
                    grant.id,
                    Reply(body=result, sent_at=reply.sent_at, arrived_at=reply.arrived_at),
                )

    def _report(self, grant: Grant) -> dict[str, Any]:
        if grant.id in self._lost and grant.port_taken:
            return {"op": "launched", "id": grant.id, **grant.restated_report()}
        return {"op": "renew", "id": grant.id, "reservation": grant.restated()}

    def _renewed(self, grant: Grant, result: dict[str, Any], *, restated: bool) -> None:
        status = result.get("status")
        if status == 200 and result.get("state"):
            self._answered(grant, reported_of({"id": grant.id} | result), restated=restated)
        elif status == 404:
            self._answered(grant, Reported(id=grant.id, state=None), restated=restated)
        elif status is not None and 400 <= status < 500:
            log.warning("%s is not renewed: %s", grant.id, result.get("detail"))
            self._due[grant.id] = self._stopwatch() + random.uniform(*REFUSED_AGAIN_S)
        else:
            self._due[grant.id] = self._stopwatch() + random.uniform(*AGAIN_S)

    def _answered(self, grant: Grant, answer: Reported, *, restated: bool) -> None:
        grant.answered = answer
        if answer.state != "live":
            # Somebody else ended it, an operator perhaps.
            log.info("%s is %s: it is renewed no longer", grant.id, answer.state or "unknown")
            self.forget(grant)
            return
        self._next(grant.id, answer.renew_within_ms)
        if restated:
            self._lost.discard(grant.id)
        elif answer.adopted:
            # This one was lost, and perhaps others; also that its port is taken.
            self.restate(grant.zone)

    def _next(self, id: str, renew_within_ms: int | None) -> None:
        half_s = RENEW_EVERY_S if renew_within_ms is None else renew_within_ms / 2000
        self._due[id] = self._stopwatch() + min(half_s, RENEW_EVERY_S)
        if self._due[id] < self._first:
            self._wake.set()


def _results(reply: Reply, wanted: int) -> list[dict[str, Any]]:
    found = reply.body.get("results")
    if not isinstance(found, list) or len(found) != wanted:
        raise Unavailable("the answer to a batch cannot be read")
    return [one if isinstance(one, dict) else {} for one in found]

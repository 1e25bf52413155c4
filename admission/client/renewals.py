"""Renewals of grants, in the background, and reservations restated to a service that lost them.

A renewal restates its reservation, so a service that lost its state counts the call again. When an
answer shows that a zone has lost its state, all calls of that zone are restated at once.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from admission.client.answers import Reported, read_report
from admission.client.grant import Grant
from admission.client.transport import Call, Reply, Transport
from admission.client.zone_clock import Stopwatch
from admission.domain.types import BATCH_MAX
from admission.errors import AdmissionError, Unavailable

log = logging.getLogger(__name__)

# Also for longer reservations: a service that lost its state must learn of its calls soon.
RENEW_EVERY_S: Final = 60.0
AGAIN_S: Final = (0.5, 2.0)  # after a failure; random, so that dialers do not synchronize
REFUSED_AGAIN_S: Final = (10.0, 20.0)  # an operator may have to correct the policy
TIMEOUT_S: Final = 10.0
_FAILED: Final = 500


class Renewals:
    """Renews grants, many with one request.

    Args:
        transport: to the service.
        stopwatch: monotonic seconds.
        on_reply: called with the id of the reservation and the answer.

    Example:
        `renewals = Renewals(transport, time.monotonic, print); renewals.keep(grant)`
    """

    def __init__(
        self, transport: Transport, stopwatch: Stopwatch, on_reply: Callable[[str, Reply], None]
    ) -> None:
        self._transport = transport
        self._stopwatch = stopwatch
        self._on_reply = on_reply
        self._grants: dict[str, Grant] = {}
        self._deadlines: dict[str, float] = {}
        self._lost: set[str] = set()  # ids to restate with all reported facts
        self._pending: frozenset[str] = frozenset()  # ids whose renewal is on its way
        self._answered = asyncio.Event()  # the pending renewals are over
        self._wake = asyncio.Event()
        self._first = math.inf  # the earliest deadline, as `run` last saw it

    @property
    def count(self) -> int:
        """Number of grants that are renewed."""
        return len(self._grants)

    def keep(self, grant: Grant) -> None:
        """Renew the grant from now on."""
        self._grants[grant.id] = grant
        self._schedule(grant.id, grant.reservation.renew_within_ms)

    def forget(self, grant: Grant) -> None:
        """Renew the grant no longer."""
        self._grants.pop(grant.id, None)
        self._deadlines.pop(grant.id, None)
        self._lost.discard(grant.id)

    def find_pending(self, id: str) -> asyncio.Event | None:
        """Return the event that the pending renewal of a reservation sets at its end, if any."""
        return self._answered if id in self._pending else None

    def restate(self, zone: str) -> None:
        """Restate all calls of a zone that has lost its state, now."""
        now = self._stopwatch()
        for id, grant in self._grants.items():
            if grant.zone == zone:
                self._lost.add(id)
                self._deadlines[id] = now
        self._wake.set()

    async def run(self) -> None:
        """Renew grants at their deadlines, until cancelled."""
        while True:
            await self._wait_for_deadline()
            now = self._stopwatch()
            due = [id for id, at in self._deadlines.items() if at <= now][:BATCH_MAX]
            if due:
                await self._renew([self._grants[id] for id in due])

    async def _wait_for_deadline(self) -> None:
        self._wake.clear()
        self._first = min(self._deadlines.values(), default=math.inf)
        delay_s = max(0.0, self._first - self._stopwatch())
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(delay_s) else delay_s):
                await self._wake.wait()

    async def _renew(self, grants: Sequence[Grant]) -> None:
        restated = {one.id for one in grants if one.id in self._lost}
        self._pending, self._answered = frozenset(one.id for one in grants), asyncio.Event()
        try:
            results = await self._send(grants)
        finally:
            self._pending = frozenset()
            self._answered.set()
        for grant, result in zip(grants, results, strict=True):
            if grant.id in self._grants:
                self._take_result(grant, result, restated=grant.id in restated)

    async def _send(self, grants: Sequence[Grant]) -> list[dict[str, Any]]:
        call = Call(
            method="POST",
            path="/v1/reservations/batch",
            timeout_s=TIMEOUT_S,
            body={"reports": [self._make_report(one) for one in grants]},
        )
        try:
            reply = await self._transport.call(call)
            results = _read_results(reply, len(grants))
        except AdmissionError as fault:
            log.warning("%d calls are not renewed yet: %s", len(grants), fault)
            return [{"status": _FAILED}] * len(grants)
        self._observe(reply, grants, results)
        return results

    def _observe(
        self, reply: Reply, grants: Sequence[Grant], results: Sequence[dict[str, Any]]
    ) -> None:
        """Pass on the zone times: each result of a batch contains the time of its zone."""
        for grant, result in zip(grants, results, strict=True):
            if "now" in result:
                self._on_reply(
                    grant.id,
                    Reply(body=result, sent_at=reply.sent_at, arrived_at=reply.arrived_at),
                )

    def _make_report(self, grant: Grant) -> dict[str, Any]:
        if grant.id in self._lost and grant.port_taken:
            return {"op": "launched", "id": grant.id, **grant.restate_launch()}
        return {"op": "renew", "id": grant.id, "reservation": grant.restate()}

    def _take_result(self, grant: Grant, result: dict[str, Any], *, restated: bool) -> None:
        status = result.get("status")
        if status == 200 and result.get("state"):
            self._take_answer(grant, read_report({"id": grant.id} | result), restated=restated)
        elif status == 404:
            self._take_answer(grant, Reported(id=grant.id, state=None), restated=restated)
        elif status is not None and 400 <= status < 500:
            log.warning("%s is not renewed: %s", grant.id, result.get("detail"))
            self._deadlines[grant.id] = self._stopwatch() + random.uniform(*REFUSED_AGAIN_S)
        else:
            self._deadlines[grant.id] = self._stopwatch() + random.uniform(*AGAIN_S)

    def _take_answer(self, grant: Grant, answer: Reported, *, restated: bool) -> None:
        grant.answered = answer
        if answer.state != "live":
            # An operator may have ended it.
            log.info("%s is %s: it is not renewed any more", grant.id, answer.state or "unknown")
            self.forget(grant)
            return
        self._schedule(grant.id, answer.renew_within_ms)
        if restated:
            self._lost.discard(grant.id)
        elif answer.adopted:
            # The zone had lost this call, perhaps others too, and that the port is taken.
            self.restate(grant.zone)

    def _schedule(self, id: str, renew_within_ms: int | None) -> None:
        half_s = RENEW_EVERY_S if renew_within_ms is None else renew_within_ms / 2000
        self._deadlines[id] = self._stopwatch() + min(half_s, RENEW_EVERY_S)
        if self._deadlines[id] < self._first:
            self._wake.set()


def _read_results(reply: Reply, wanted: int) -> list[dict[str, Any]]:
    found = reply.body.get("results")
    if not isinstance(found, list) or len(found) != wanted:
        raise Unavailable("the answer to a batch cannot be read")
    return [one if isinstance(one, dict) else {} for one in found]

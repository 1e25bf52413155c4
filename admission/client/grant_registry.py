"""The registry of a dialer's grants: zone clocks, reports on their way, renewals.

Every answer of the service passes through the registry once: `now` updates the zone clock, grants
are handed to the renewals, and a sign of lost state restates all calls of that zone.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from admission.client import answers
from admission.client.answers import Denied, Listed, Reported, Reservation
from admission.client.grant import Grant, Granted, Terms
from admission.client.outbox import Outbox
from admission.client.renewals import Renewals
from admission.client.transport import Reply, Transport
from admission.client.zone_clock import Stopwatch, ZoneClock
from admission.domain import Reason
from admission.domain.types import BUILT_IN_POOLS
from admission.errors import Unavailable

log = logging.getLogger(__name__)


class GrantRegistry:
    """The grants of one client (implements `admission.client.grant.Registry`).

    Args:
        transport: for reports and renewals.
        stopwatch: monotonic seconds.

    Example:
        `registry = GrantRegistry(transport, time.monotonic); registry.open()`
    """

    def __init__(self, transport: Transport, stopwatch: Stopwatch) -> None:
        self._clock = ZoneClock(stopwatch)
        self._outbox = Outbox(transport, stopwatch, self._observe_report)
        self._renewals = Renewals(transport, stopwatch, self._observe_report)
        self._recovering: set[str] = set()
        self._renewal_task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the renewals. Must be called inside the event loop."""
        self._renewal_task = asyncio.create_task(self._renewals.run(), name="renewals")

    async def close(self, timeout_s: float) -> None:
        """Stop the renewals, and wait up to `timeout_s` for reports on their way."""
        if self._renewals.count:
            log.warning("the client closes: %d calls are not renewed", self._renewals.count)
        if self._renewal_task is not None:
            self._renewal_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewal_task
        await self._outbox.close(timeout_s)

    def read_decision(self, reply: Reply, pools: Sequence[str]) -> Granted | Denied:
        """Return the answer to an admission request, and renew its grants from now on.

        Args: pools: the named pools of the request.

        Raises:
            Unavailable: the answer cannot be read.
        """
        try:
            return self._read_decision(reply, pools)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Unavailable("the service's answer cannot be read") from None

    def take_up(self, listed: Listed) -> Grant:
        """Renew a reservation that was granted to an earlier process."""
        named = [one for one in listed.pools if one.partition(":")[0] not in BUILT_IN_POOLS]
        terms = Terms(
            request_id=listed.request_id or "", launch_by=self.stopwatch(), pools=tuple(named)
        )
        reservation = Reservation(
            id=listed.id,
            zone=listed.zone,
            channel=listed.channel,
            campaign=listed.campaign,
            mpp=listed.mpp,
        )
        grant = Grant(reservation, terms, self)
        grant.port_taken, grant.session_id = listed.port_taken, listed.session_id
        self._renewals.keep(grant)
        return grant

    def zone_now(self, zone: str) -> int | None:
        """Return a lower bound of the zone time in ms; None: no answer of the zone yet."""
        return self._clock.now(zone)

    def stopwatch(self) -> float:
        """Monotonic seconds."""
        return self._clock.stopwatch()

    def report(self, grant: Grant, verb: str, body: dict[str, Any]) -> None:
        """Send a report in the background."""

        def on_answer(answer: Reported) -> None:
            grant.answered = answer

        # A renewal states that the call is up: after an end with `unknown` it would undo the end.
        after = self._renewals.find_pending(grant.id) if verb == "end" else None
        self._outbox.put(grant.id, verb, body, on_answer, after)

    def keep(self, grant: Grant) -> None:
        """Renew the grant from now on."""
        self._renewals.keep(grant)

    def forget(self, grant: Grant) -> None:
        """Renew the grant no longer."""
        self._renewals.forget(grant)

    async def settled(self, grant: Grant, timeout_s: float | None) -> bool:
        """Wait until the reports are answered. Returns False after a time-out."""
        return await self._outbox.settled(grant.id, timeout_s)

    def _read_decision(self, reply: Reply, pools: Sequence[str]) -> Granted | Denied:
        body = reply.body
        self._observe(body["zone"], reply)
        if not answers.is_grant(body):
            denied = answers.read_denial(body)
            self._restate_if_recovering(denied)
            return denied
        self._recovering.discard(body["zone"])
        within_ms = int(body.get("launch_within_ms") or 0)
        terms = Terms(
            request_id=body["request_id"],
            launch_by=reply.sent_at + within_ms / 1000,
            pools=pools,
            shadow=bool(body.get("shadow")),
        )
        grants = [Grant(one, terms, self) for one in answers.read_reservations(body)]
        for one in grants:
            self._renewals.keep(one)
        return Granted(
            **answers.read_shared_fields(body),
            granted=int(body["granted"]),
            launch_within_ms=within_ms,
            grants=tuple(grants),
            repeated=bool(body.get("repeated")),
            shadow=terms.shadow,
        )

    def _restate_if_recovering(self, denied: Denied) -> None:
        """Restate all calls, once, to a zone that recovers: it has lost its state."""
        if denied.reason != Reason.RECOVERING:
            self._recovering.discard(denied.zone)
        elif denied.zone not in self._recovering:
            self._recovering.add(denied.zone)
            self._renewals.restate(denied.zone)

    def _observe_report(self, reservation_id: str, reply: Reply) -> None:
        """Update the zone clock from the answer to a report; the id contains the zone."""
        self._observe(reservation_id.partition("~")[0], reply)

    def _observe(self, zone: str, reply: Reply) -> None:
        now = int(reply.body.get("now") or 0)
        self._clock.observe(zone, now, sent_at=reply.sent_at, arrived_at=reply.arrived_at)

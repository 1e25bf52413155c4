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
from admission.domain.outcomes import Reason
from admission.domain.types import BUILT_IN_POOLS
from admission.errors import Unavailable

log = logging.getLogger(__name__)


class GrantRegistry:
    """Keeps the grants of one client (`admission.client.grant.Registry`).

    Args:
        transport: for reports and renewals.
        stopwatch: monotonic seconds.
    """

    def __init__(self, transport: Transport, stopwatch: Stopwatch) -> None:
        self._clock = ZoneClock(stopwatch)
        self._outbox = Outbox(transport, stopwatch, self._heard_of)
        self._renewals = Renewals(transport, stopwatch, self._heard_of)
        self._recovering: set[str] = set()
        self._renewing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to renew. Call it inside the event loop."""
        self._renewing = asyncio.create_task(self._renewals.run(), name="renewals")

    async def close(self, timeout_s: float) -> None:
        """Renew no longer, and wait so long for the reports that are on their way."""
        if self._renewals.kept:
            log.warning("%d calls are left to themselves: the client closes", self._renewals.kept)
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        await self._outbox.close(timeout_s)

    def decision(self, reply: Reply, pools: Sequence[str]) -> Granted | Denied:
        """The answer to an ask; what it grants is kept from now on.

        Args: pools: the named ones that were asked for.

        Raises:
            Unavailable: it is none.
        """
        try:
            return self._decision(reply, pools)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Unavailable("the service's answer cannot be read") from None

    def take_up(self, listed: Listed) -> Grant:
        """Keep a reservation that an earlier process was granted."""
        asked = [one for one in listed.pools if one.partition(":")[0] not in BUILT_IN_POOLS]
        terms = Terms(
            request_id=listed.request_id or "", launch_by=self.stopwatch(), pools=tuple(asked)
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
        """The zone's time in ms is at least this; None: nothing was heard of it yet."""
        return self._clock.now(zone)

    def stopwatch(self) -> float:
        """Monotonic seconds."""
        return self._clock.stopwatch()

    def report(self, grant: Grant, verb: str, body: dict[str, Any]) -> None:
        """Send a report in the background."""

        def told(answer: Reported) -> None:
            grant.answered = answer

        # Whoever is renewed is up: a renewal that comes after an `unknown` would undo it.
        after = self._renewals.under_way(grant.id) if verb == "end" else None
        self._outbox.put(grant.id, verb, body, told, after)

    def keep(self, grant: Grant) -> None:
        """Renew it from now on."""
        self._renewals.keep(grant)

    def forget(self, grant: Grant) -> None:
        """Renew it no longer."""
        self._renewals.forget(grant)

    async def settled(self, grant: Grant, timeout_s: float | None) -> bool:
        """Wait until its reports are answered. False: the time was up first."""
        return await self._outbox.settled(grant.id, timeout_s)

    def _decision(self, reply: Reply, pools: Sequence[str]) -> Granted | Denied:
        body = reply.body
        self._heard(body["zone"], reply)
        if not answers.is_grant(body):
            denied = answers.denied_of(body)
            self._notice(denied)
            return denied
        self._recovering.discard(body["zone"])
        within_ms = int(body.get("launch_within_ms") or 0)
        terms = Terms(
            request_id=body["request_id"],
            launch_by=reply.sent_at + within_ms / 1000,
            pools=pools,
            shadow=bool(body.get("shadow")),
        )
        grants = [Grant(one, terms, self) for one in answers.reservations_of(body)]
        for one in grants:
            self._renewals.keep(one)
        return Granted(
            **answers.common_of(body),
            granted=int(body["granted"]),
            launch_within_ms=within_ms,
            grants=tuple(grants),
            repeated=bool(body.get("repeated")),
            shadow=terms.shadow,
        )

    def _notice(self, denied: Denied) -> None:
        """A zone that recovers has lost what it knew: tell it, once."""
        if denied.reason != Reason.RECOVERING:
            self._recovering.discard(denied.zone)
        elif denied.zone not in self._recovering:
            self._recovering.add(denied.zone)
            self._renewals.restate(denied.zone)

    def _heard_of(self, reservation_id: str, reply: Reply) -> None:
        """An answer to a report: ids carry their zone."""
        self._heard(reservation_id.partition("~")[0], reply)

    def _heard(self, zone: str, reply: Reply) -> None:
        now = int(reply.body.get("now") or 0)
        self._clock.heard(zone, now, sent_at=reply.sent_at, arrived_at=reply.arrived_at)

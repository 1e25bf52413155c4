"""Script calls: operations in, the reply out, and nobody asks in vain during an outage."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import from_json, to_json

from admission.errors import AdmissionError, Unavailable
from admission.ledger.circuit_breaker import CircuitBreaker, CircuitBreakers
from admission.ledger.clock_steps import ClockStepDetector
from admission.ledger.keys import notification_channel, zone_keys
from admission.ledger.store.connection import RedisConnection, Script
from admission.ledger.store.errors import RedisUnreachable

log = logging.getLogger(__name__)

EVERY_ZONE: Final = "the ledger's Redis"  # the circuit's name where one server has all zones

Operation = dict[str, Any]


class ScriptClient:
    """Calls of the script, each with the keys of one zone.

    Args:
        connection: the Redis that holds the zones.
        script: what is called.
        on_call: told the seconds that each call took, for metrics.
    """

    def __init__(
        self, connection: RedisConnection, script: Script, on_call: Callable[[float], None]
    ) -> None:
        self._connection = connection
        self._script = script
        self._on_call = on_call
        self._prefix = connection.settings.key_prefix
        self._bell = notification_channel(self._prefix)
        self._circuits = CircuitBreakers(self._probe)
        self._steps = ClockStepDetector()

    def check(self, zone: str) -> None:
        """Return if that zone's Redis is worth a call. Raises: Unavailable: it is out of reach."""
        self._circuit(zone).check()

    async def apply(self, zone: str, ops: list[Operation], waited_s: float = 0.0) -> dict[str, Any]:
        """Apply operations to a zone.

        Args:
            waited_s: how long the first of them has waited already; the call has less time then.

        Raises: Unavailable; AdmissionError: the script failed.
        """
        started, sent = time.perf_counter(), self._steps.sending()
        try:
            raw = await self.evaluate(zone, ops, waited_s)
            reply = dict(from_json(raw))
            await self._watch_clock(zone, reply["now"], sent)
        except RedisUnreachable as fault:
            self._circuit(zone).open(fault)
            raise
        except Unavailable:
            raise
        except AdmissionError:
            log.exception("ledger %s: the script failed", zone)
            raise
        self._on_call(time.perf_counter() - started)
        return reply

    async def _watch_clock(self, zone: str, now: int, sent: float) -> None:
        """Nobody gets a time of a clock that has stepped ahead before the zone recovers from it."""
        if not now:  # no time, but an error of the whole call
            return
        if self._steps.stepped(zone, now, sent):
            log.warning("zone %s: the clock of Redis stepped ahead; the zone recovers", zone)
            await self.evaluate(zone, [{"op": "stepped"}])
        self._steps.note(zone, now, sent)

    async def evaluate(self, zone: str, ops: list[Operation], waited_s: float = 0.0) -> bytes:
        """One call, whatever the circuit says; the reply is JSON."""
        keys = zone_keys(self._prefix, zone)
        text = to_json(ops)  # a quarter of the time that the standard library takes
        raw = await self._connection.evaluate(
            self._script, keys, text, self._bell, waited_s=waited_s
        )
        return bytes(raw)

    async def close(self) -> None:
        """Stop probing."""
        await self._circuits.close()

    def _circuit(self, zone: str) -> CircuitBreaker:
        return self._circuits.of(zone if self._connection.is_spread else EVERY_ZONE)

    async def _probe(self, name: str) -> None:
        if name == EVERY_ZONE:
            await self._connection.ping()
        else:
            await self.evaluate(name, [{"op": "time"}])

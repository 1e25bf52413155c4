"""Calls of the ledger's script: operations in, the reply out; a circuit breaker around them."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import from_json, to_json

from admission.errors import AdmissionError, Unavailable
from admission.ledger.circuit_breaker import CircuitBreaker, CircuitBreakers
from admission.ledger.clock_steps import ClockStepDetector
from admission.ledger.keys import notification_channel, zone_keys
from admission.ledger.recounts import Recounts
from admission.ledger.store.connection import RedisConnection, Script
from admission.ledger.store.errors import RedisUnreachable

log = logging.getLogger(__name__)

EVERY_ZONE: Final = "the ledger's Redis"  # the circuit's name where one server has all zones

Operation = dict[str, Any]


class ScriptClient:
    """Calls the script, each time with the keys of one zone.

    Example:
        reply = await client.apply("East", [{"op": "time"}])

    Args:
        connection: the Redis that holds the zones.
        script: of the ledger.
        on_call: called with the seconds that each call took, for metrics.
    """

    def __init__(
        self, connection: RedisConnection, script: Script, on_call: Callable[[float], None]
    ) -> None:
        self._connection = connection
        self._script = script
        self._on_call = on_call
        self._prefix = connection.settings.key_prefix
        self._channel = notification_channel(self._prefix)
        self._circuits = CircuitBreakers(self._probe)
        self._steps = ClockStepDetector()
        self._recounts = Recounts(self.evaluate)

    def check(self, zone: str) -> None:
        """Return if a call may be tried. Raises: Unavailable: the zone's circuit is open."""
        self._circuit(zone).check()

    async def apply(self, zone: str, ops: list[Operation], waited_s: float = 0.0) -> dict[str, Any]:
        """Apply operations to a zone.

        Args:
            waited_s: how long the first of them waited in the queue.

        Raises:
            Unavailable: Redis does not answer, or refuses the call.
            AdmissionError: the script failed.
        """
        started, sent = time.perf_counter(), self._steps.read_clock()
        try:
            refused = await self._recounts.report_failed_undos(zone)
            if refused:
                return refused
            raw = await self.evaluate(zone, ops, waited_s)
            reply = dict(from_json(raw))
            self._recounts.read(zone, reply)
            await self._watch_clock(zone, reply["now"], sent)
        except RedisUnreachable as fault:
            self._circuit(zone).report(fault)
            raise
        except Unavailable:
            raise
        except AdmissionError:
            log.exception("ledger %s: the script failed", zone)
            self._recounts.doubt(zone)
            raise
        self._on_call(time.perf_counter() - started)
        return reply

    async def _watch_clock(self, zone: str, now: int, sent: float) -> None:
        """Begin a recovery before a time of a clock that stepped ahead is returned."""
        if not now:  # the whole call failed
            return
        if self._steps.has_stepped(zone, now, sent):
            log.warning("zone %s: the clock of Redis stepped ahead; the zone recovers", zone)
            step = self._steps.describe_step(zone, now)
            await self.evaluate(zone, [{"op": "stepped", **step}])
        self._steps.record(zone, now, sent)

    async def evaluate(self, zone: str, ops: list[Operation], waited_s: float = 0.0) -> bytes:
        """One call, without a look at the circuit; the reply is JSON."""
        keys = zone_keys(self._prefix, zone)
        text = to_json(ops)  # a quarter of the time that the standard library takes
        raw = await self._connection.evaluate(
            self._script, keys, text, self._channel, waited_s=waited_s
        )
        return bytes(raw)

    async def close(self) -> None:
        """Stop probing."""
        await self._recounts.close()
        await self._circuits.close()

    def _circuit(self, zone: str) -> CircuitBreaker:
        return self._circuits.get(zone if self._connection.is_spread else EVERY_ZONE)

    async def _probe(self, name: str) -> None:
        if name == EVERY_ZONE:
            await self._connection.ping()
        else:
            await self.evaluate(name, [{"op": "time"}])

"""A circuit breaker: while Redis is unreachable, calls fail at once instead of timing out too.

    closed --a call found Redis unreachable--> open --a probe is answered--> closed
    closed --a call timed out, and the probe after it too--> open

The call that meets the outage pays the time-out; the next ones fail fast until a probe in the
background gets an answer. Requests never serve as probes.

A time-out alone does not open the circuit: a process that is busy itself reads a reply late though
Redis answered in time. A refused or broken connection opens it at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from admission.errors import Unavailable
from admission.ledger.store.errors import RedisUnreachable
from admission.tasks import Backoff, cancel_and_wait

log = logging.getLogger(__name__)

PROBE_S_MIN: Final = 0.05
PROBE_S_MAX: Final = 0.5

Probe = Callable[[], Awaitable[object]]


class CircuitBreaker:
    """One circuit, closed at first.

    Example:
        circuit = CircuitBreaker("redis", connection.ping)
        circuit.check()
        try:
            reply = await call()
        except RedisUnreachable as fault:
            circuit.report(fault)
            raise

    Args:
        name: of the server behind it, for the log.
        probe: asks the server for a sign of life within a bounded time; raises `RedisUnreachable`
            without an answer.
    """

    def __init__(self, name: str, probe: Probe) -> None:
        self._name = name
        self._probe = probe
        self._fault: Unavailable | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._fault is not None

    def check(self) -> None:
        """Return if a call may be tried. Raises: Unavailable: the circuit is open."""
        if self._fault is not None:
            raise Unavailable(self._fault.detail, retry_after_s=self._fault.retry_after_s)

    def report(self, fault: RedisUnreachable) -> None:
        """A call failed: open the circuit, after a time-out only if a probe fails too."""
        if self._probing is not None and not self._probing.done():
            return
        if fault.is_timeout:
            work = self._verify(fault)
        else:
            self._open(fault)
            work = self._probe_until_answered()
        self._probing = asyncio.create_task(work, name="probe redis")

    async def close(self) -> None:
        """Stop probing, for good."""
        if self._probing:
            await cancel_and_wait(self._probing)

    def _open(self, fault: RedisUnreachable) -> None:
        log.warning("%s: %s; calls are refused until it answers", self._name, fault.detail)
        self._fault = fault

    async def _verify(self, fault: RedisUnreachable) -> None:
        if await self._is_answered():
            log.info("%s: a call timed out, but the server answers", self._name)
            return
        self._open(fault)
        await self._probe_until_answered()

    async def _probe_until_answered(self) -> None:
        backoff = Backoff(min_s=PROBE_S_MIN, max_s=PROBE_S_MAX)
        while True:
            await asyncio.sleep(backoff.next_s())
            if await self._is_answered():
                break
        self._fault = None
        log.warning("%s: answers again", self._name)

    async def _is_answered(self) -> bool:
        try:
            await self._probe()
        except RedisUnreachable:
            return False
        except Exception as exc:  # an answer; the next call meets the same error and reports it
            log.info("%s: answers with an error: %s", self._name, exc)
        return True


class CircuitBreakers:
    """Circuit breakers by name, made at their first use.

    Example:
        circuits = CircuitBreakers(probe_zone)
        circuits.get("East").check()

    Args:
        probe: asks for a sign of life of the server behind a name.
    """

    def __init__(self, probe: Callable[[str], Awaitable[object]]) -> None:
        self._probe = probe
        self._circuits: dict[str, CircuitBreaker] = {}

    def get(self, name: str) -> CircuitBreaker:
        """The circuit breaker of that name."""
        circuit = self._circuits.get(name)
        if circuit is None:
            circuit = self._circuits[name] = CircuitBreaker(name, lambda: self._probe(name))
        return circuit

    async def close(self) -> None:
        """Stop all probes."""
        await asyncio.gather(*(circuit.close() for circuit in self._circuits.values()))

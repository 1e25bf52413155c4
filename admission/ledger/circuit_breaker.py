"""A circuit: while Redis is out of reach, who asks is refused at once instead of waiting too.

    closed --a call found nobody--> open --a probe is answered--> closed

One call pays the time-out; the others fail fast until a probe in the background gets through.
Requests never serve as probes, so an outage costs nobody more than the one time-out.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from admission.errors import Unavailable
from admission.ledger.store.errors import RedisUnreachable
from admission.tasks import cancel_and_wait

log = logging.getLogger(__name__)

PROBE_S_MIN: Final = 0.05
PROBE_S_MAX: Final = 0.5

Probe = Callable[[], Awaitable[object]]


class CircuitBreaker:
    """One circuit. Closed at first.

    Args:
        name: what lies behind it, for the log.
        probe: asks for a sign of life; must end by itself; raises `RedisUnreachable` without one.
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

    def open(self, fault: RedisUnreachable) -> None:
        """A call found nobody: refuse the next ones, and probe until somebody is there."""
        if self._fault is None:
            log.warning("%s: %s; refusing until it is back", self._name, fault.detail)
            self._fault = fault
            self._probing = asyncio.create_task(self._probe_until_back(), name="probe redis")

    async def close(self) -> None:
        """Stop probing, for good."""
        if self._probing:
            await cancel_and_wait(self._probing)

    async def _probe_until_back(self) -> None:
        pause_s = PROBE_S_MIN
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, PROBE_S_MAX)
            try:
                await self._probe()
            except RedisUnreachable:
                continue
            except Exception as exc:  # it answers; what it says is told to who asks next
                log.info("%s: answers again, with: %s", self._name, exc)
            break
        self._fault = None
        log.warning("%s: is back", self._name)


class CircuitBreakers:
    """CircuitBreaker breakers by name, made when they are first wanted.

    Args:
        probe: asks for a sign of life of what lies behind a name.
    """

    def __init__(self, probe: Callable[[str], Awaitable[object]]) -> None:
        self._probe = probe
        self._circuits: dict[str, CircuitBreaker] = {}

    def of(self, name: str) -> CircuitBreaker:
        """The circuit of that name."""
        circuit = self._circuits.get(name)
        if circuit is None:
            circuit = self._circuits[name] = CircuitBreaker(name, lambda: self._probe(name))
        return circuit

    async def close(self) -> None:
        """Stop all probes."""
        await asyncio.gather(*(circuit.close() for circuit in self._circuits.values()))

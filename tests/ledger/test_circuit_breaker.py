"""The circuit breaker: one call waits for an outage, the others fail at once; probes close it."""

import asyncio

import pytest

from admission.errors import Unavailable
from admission.ledger.circuit_breaker import CircuitBreaker, CircuitBreakers
from admission.ledger.store.errors import RedisUnreachable

AWAY = RedisUnreachable("no answer", retry_after_s=2.0)
LATE = RedisUnreachable("too late", is_timeout=True)


class Redis:
    """What a probe meets: no server for `away` probes, then the fault `says`, or an answer."""

    def __init__(self, away: int = 0, says: Exception | None = None) -> None:
        self.away, self.says = away, says
        self.probed: list[str] = []

    async def probe(self, name: str = "") -> None:
        self.probed.append(name)
        if self.away > 0:
            self.away -= 1
            raise AWAY
        if self.says:
            raise self.says


async def closed(circuit: CircuitBreaker) -> None:
    async with asyncio.timeout(10):
        while circuit.is_open:  # noqa: ASYNC110  no event
            await asyncio.sleep(0.001)


async def test_a_call_is_refused_with_the_cause_while_no_server_answers() -> None:
    circuit = CircuitBreaker("redis", Redis(away=1000).probe)
    circuit.check()

    circuit.report(AWAY)

    with pytest.raises(Unavailable, match="no answer") as caught:
        circuit.check()
    assert caught.value.retry_after_s == 2.0
    await circuit.close()


@pytest.mark.parametrize("says", [None, Unavailable("loading")])
async def test_an_answered_probe_closes_the_breaker(says: Exception | None) -> None:
    redis = Redis(away=2, says=says)
    circuit = CircuitBreaker("redis", redis.probe)

    circuit.report(AWAY)
    circuit.report(AWAY)
    await closed(circuit)

    circuit.check()
    assert len(redis.probed) == 3
    await circuit.close()


async def test_the_breaker_opens_and_closes_repeatedly() -> None:
    redis = Redis()
    circuit = CircuitBreaker("redis", redis.probe)
    for _ in range(3):
        circuit.report(AWAY)
        assert circuit.is_open
        await closed(circuit)
    assert len(redis.probed) == 3
    await circuit.close()


async def test_a_timeout_alone_does_not_open_the_breaker_while_the_server_answers() -> None:
    redis = Redis()
    circuit = CircuitBreaker("redis", redis.probe)
    circuit.report(LATE)
    assert not circuit.is_open
    async with asyncio.timeout(10):
        while not redis.probed:  # noqa: ASYNC110  the probe is the event
            await asyncio.sleep(0.001)
    circuit.check()
    await circuit.close()


async def test_a_timeout_opens_the_breaker_when_the_probe_is_not_answered_either() -> None:
    redis = Redis(away=2)
    circuit = CircuitBreaker("redis", redis.probe)
    circuit.report(LATE)
    circuit.report(LATE)  # of another call: one probe is enough
    async with asyncio.timeout(10):
        while not circuit.is_open:  # noqa: ASYNC110  no event
            await asyncio.sleep(0.001)
    with pytest.raises(Unavailable, match="too late"):
        circuit.check()
    await closed(circuit)
    assert len(redis.probed) == 3
    await circuit.close()


async def test_no_probe_is_sent_after_the_end() -> None:
    before = asyncio.all_tasks()
    circuits = CircuitBreakers(Redis(away=1000).probe)
    circuits.get("a").report(AWAY)

    await circuits.close()

    assert asyncio.all_tasks() == before


async def test_circuits_of_different_names_fail_apart() -> None:
    redis = Redis(away=1000)
    circuits = CircuitBreakers(redis.probe)

    circuits.get("a").report(AWAY)

    circuits.get("b").check()
    assert circuits.get("a") is circuits.get("a")
    async with asyncio.timeout(10):
        while not redis.probed:  # noqa: ASYNC110  the probe is the event
            await asyncio.sleep(0.001)
    assert set(redis.probed) == {"a"}
    await circuits.close()

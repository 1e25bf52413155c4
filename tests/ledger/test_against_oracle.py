"""The script answers what the oracle answers, whatever happens in whatever order."""

import os

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.ledger.machine import LedgerMachine

# ADMISSION_EXAMPLES multiplies how many runs are tried, each of up to STEPS steps.
MULTIPLE = int(os.environ.get("ADMISSION_EXAMPLES", "1"))
STEPS = 40


def thorough(examples: int) -> settings:
    return settings(
        max_examples=examples * MULTIPLE,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def machine_on(server: redis.Redis) -> type[LedgerMachine]:
    """The machine with its script on one server."""

    class OnServer(LedgerMachine):
        client = staticmethod(lambda: server)

    return OnServer


def test_redis_answers_as_the_oracle_does(redis_sync):
    run_state_machine_as_test(machine_on(redis_sync), settings=thorough(150))


def test_redis_in_memory_answers_as_the_oracle_does():
    pytest.importorskip("lupa")
    with fakeredis.FakeRedis() as client:
        run_state_machine_as_test(machine_on(client), settings=thorough(10))

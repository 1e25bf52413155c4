"""The script answers what the oracle answers, whatever happens in whatever order."""

import json
import os
from pathlib import Path

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import run_state_machine_as_test

from tests.ledger.machine import RECORDED, STATUS, LedgerMachine, Recorder, replay

# ADMISSION_EXAMPLES multiplies how many runs are tried, each of up to STEPS steps.
MULTIPLE = int(os.environ.get("ADMISSION_EXAMPLES", "1"))
STEPS = 40
SHRINKING_S = 60  # a test is killed after 300 s: what was found by then must have been reported


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


@pytest.fixture(autouse=True)
def bounded_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", SHRINKING_S)


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_differences_do_not_return(path: Path, redis_sync: redis.Redis) -> None:
    replay(path, redis_sync)


def test_a_difference_is_kept_as_soon_as_it_is_found(
    tmp_path: Path, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "smallest", Recorder.smallest)
    policy = json.loads(next(RECORDED.glob("*.json")).read_text("utf-8"))["policy"]
    machine = machine_on(redis_sync)
    machine.kept_in = tmp_path
    run = machine()
    run.start(policy)
    run.both([STATUS])
    run.oracle.zone.offset += 1
    with pytest.raises(AssertionError, match="differ"):
        run.both([STATUS])
    replay(tmp_path / "difference.json", redis_sync)


def test_redis_answers_as_the_oracle_does(redis_sync):
    run_state_machine_as_test(machine_on(redis_sync), settings=thorough(150))


def test_redis_in_memory_answers_as_the_oracle_does():
    pytest.importorskip("lupa")
    with fakeredis.FakeRedis() as client:
        run_state_machine_as_test(machine_on(client), settings=thorough(10))

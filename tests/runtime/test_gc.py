"""A server that is up no longer looks through what it loaded to start."""

import gc
from collections.abc import Iterator

import pytest

from admission.runtime import process


@pytest.fixture
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("restored")
def test_loaded_objects_are_frozen_and_new_cycles_are_collected() -> None:
    loaded = [object() for _ in range(3)]
    process.tune_gc()
    assert not any(one is loaded for one in gc.get_objects())
    assert gc.get_threshold()[0] == process.NEW_OBJECTS
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.isenabled()
    assert gc.collect() >= 1

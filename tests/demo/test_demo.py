"""The whole demo as its user runs it: a process of its own, here without a terminal."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from admission.demo.environment import open_environment, tune
from admission.errors import ConfigError

PATIENCE_S = 60.0
TRACEBACK = "Traceback"  # warnings may come where the machine is too slow
TOTALS = re.compile(r"(\d+) s: (\d+) launches, (\d+) over-launches")


@pytest.fixture
def temp() -> Iterator[Path]:
    """Where the demo puts its folder: short, because that of a unix socket is bounded."""
    folder = tempfile.mkdtemp(prefix="adm-", dir="/tmp")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def demo(temp: Path, *arguments: str) -> AsyncIterator[Process]:
    """A running demo, which does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admission", "demo", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**_environment(), "TMPDIR": str(temp)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    """As it is here, without what would configure the demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ADMISSION")}


async def outcome(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE_S):
        said, complained = await process.communicate()
    return process.returncode, said.decode(), complained.decode()


async def line_with(process: Process, wanted: str) -> None:
    """Wait until it prints a line that has this pattern."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        async for line in process.stdout:
            if re.search(wanted, line.decode()):
                return
    pytest.fail(f"it ended before it said {wanted}")


def totals(said: str) -> tuple[int, int]:
    found = TOTALS.search(said)
    assert found, said
    return int(found[2]), int(found[3])


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def servers_below(folder: Path) -> list[str]:
    """Redis processes that work in that folder or in one below, which may be gone already."""
    links = Path("/proc").glob("[0-9]*/cwd")
    return [str(link) for link in links if _target(link).startswith(str(folder))]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


async def test_the_totals_of_the_demo_are_printed_as_json(temp: Path) -> None:
    async with demo(temp, "--seconds", "2", "--json", "--unguarded") as process:
        code, said, complained = await outcome(process)
    totals = json.loads(said)
    assert (code, TRACEBACK in complained) == (0, False)
    assert [one["name"] for one in totals["zones"]] == ["East", "West"]
    assert sum(one["launches"] for one in totals["zones"]) > 0


async def test_the_demo_runs_for_its_duration_and_leaves_nothing_behind(temp: Path) -> None:
    async with demo(temp, "--seconds", "3") as process:
        code, said, complained = await outcome(process)
    assert (code, TRACEBACK in complained) == (0, False)
    assert "guarded by the controller" in said
    assert totals(said)
    assert left_in(temp) == []
    assert servers_below(temp) == []


@pytest.mark.parametrize(
    ("how", "when"), [(signal.SIGINT, "[1-9] launches"), (signal.SIGHUP, "0 launches")]
)
async def test_a_signal_ends_the_demo_cleanly(temp: Path, how: signal.Signals, when: str) -> None:
    async with demo(temp) as process:
        await line_with(process, when)
        assert left_in(temp)
        assert servers_below(temp)
        process.send_signal(how)
        code, said, complained = await outcome(process)
    assert (code, TRACEBACK in complained) == (0, False)
    assert totals(said)
    assert left_in(temp) == []
    assert servers_below(temp) == []


async def test_without_a_controller_launches_are_lost(temp: Path) -> None:
    async with demo(temp, "--unguarded") as process:
        await line_with(process, "[1-9] over")
        process.send_signal(signal.SIGTERM)
        code, said, complained = await outcome(process)
    assert (code, TRACEBACK in complained) == (0, False)
    launches, over = totals(said)
    assert 0 < over < launches
    assert left_in(temp) == []


async def test_a_closed_output_ends_the_demo(temp: Path) -> None:
    async with demo(temp, "--unguarded") as process:
        await line_with(process, "launches")
        # asyncio has no public way to close one pipe of a process
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
        assert process.stderr is not None
        assert TRACEBACK not in (await process.stderr.read()).decode()


async def test_a_port_that_is_in_use_is_a_configuration_error(temp: Path) -> None:
    async with await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        settings = tune({"ADMISSION__SERVER__PORT": port}, temp)
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with open_environment(settings, unguarded=False, calls_max=1):
                pytest.fail("it listens")
    assert servers_below(temp) == []

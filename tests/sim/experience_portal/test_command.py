"""`admission simulate experience-portal`: what it prints suffices to use it."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from admission.sim.experience_portal.contract import CURRENT_PATH
from tests.support.experience_portal import envelope

UNKNOWN = envelope("QueryResources", zone="East", unknown=1)


@asynccontextmanager
async def simulate(*options: str) -> AsyncIterator[str]:
    """Yields what it printed; it ends properly."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admission", "simulate", "experience-portal", "--port", "0"),
        *options,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60):
            printed = (await process.stdout.readuntil(b"control: ")).decode()
            printed += (await process.stdout.readline()).decode()
            yield printed
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def post(printed: str, body: bytes) -> int:
    """The status of an operation with the printed address and credentials."""
    [base] = re.findall(r"http://127\.0\.0\.1:\d+", printed)
    [(user, password)] = re.findall(r"user (\S+), password ([^\s;]+);", printed)
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
    async with (
        aiohttp.ClientSession() as http,
        http.post(base + CURRENT_PATH, data=body, headers=headers) as answer,
    ):
        return answer.status


async def test_it_prints_its_paths_its_credentials_and_its_control_pages() -> None:
    async with simulate() as printed:
        assert await post(printed, envelope("QueryResources", zone="East")) == 200
        [base] = re.findall(r"http://127\.0\.0\.1:\d+", printed)
        assert CURRENT_PATH in printed
        [pages] = re.findall(r"control: (.*)", printed)
        async with aiohttp.ClientSession() as http:
            for page in ("/sim/truth", "/sim/zones", "/sim/faults"):
                assert page in pages
                async with http.get(base + page) as answer:
                    assert answer.status == 200, page


@pytest.mark.parametrize(("options", "status"), [((), 500), (("--lax",), 200)])
async def test_an_option_makes_it_lax(options: tuple[str, ...], status: int) -> None:
    async with simulate(*options) as printed:
        assert await post(printed, UNKNOWN) == status

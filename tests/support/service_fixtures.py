"""Fixtures of the tests of the whole service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import admission.sources.live_sources
from admission.cli.main import main
from tests.support.polling import ScriptedSource
from tests.support.service import (
    EAST,
    ServiceHarness,
    serve_service,
    service_settings,
)

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a thread of its own. Returns: exit code, what it printed, its errors."""
    for name in ("ADMISSION_URL", "ADMISSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    async def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(_exit_code, arguments)
        return code, *capsys.readouterr()

    return run


def _exit_code(arguments: tuple[str, ...]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    """The source that the service polls instead of a platform."""
    fake = ScriptedSource()
    monkeypatch.setattr(admission.sources.live_sources, "build_source", lambda name, settings: fake)
    return fake


@pytest.fixture
async def harness(redis_url: str) -> AsyncIterator[ServiceHarness]:
    async with serve_service(service_settings(EAST, redis_url)) as opened:
        await opened.can_grant()
        yield opened

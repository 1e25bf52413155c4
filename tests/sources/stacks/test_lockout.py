"""Polling with a refused password does not lock the account in a real Tomcat's LockOutRealm."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from admission.config import SourceSection
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.config.sources.http_json import HttpJsonSettings
from admission.sources.authentication import CredentialsRefused
from admission.sources.live_sources import LiveSources
from tests.support.polling import make_policy
from tests.support.soap_stacks import SOURCES, class_path, compile_sources, java, running

pytestmark = pytest.mark.stacks

LOCKED_AFTER = 5  # failures: the default of LockOutRealm


@pytest.fixture
async def tomcat(tmp_path: Path) -> AsyncIterator[str]:
    source = SOURCES / "java/tomcat/Server.java"
    classes = await asyncio.to_thread(compile_sources, "tomcat", tmp_path, [source], "")
    command = [*java(), "-cp", class_path("tomcat", classes), "Server", str(tmp_path)]
    async with running(*command, cwd=tmp_path) as (port, _):
        yield f"http://127.0.0.1:{port}/"


def settings(kind: str, url: str, password: Any) -> SourceSection:
    said = {"url": url, "username": "first", "password": password, "timeout_ms": 60_000}
    if kind == "experience_portal":
        return ExperiencePortalSettings.model_validate(said)
    counted = {"sip": {"total": "total", "used": "used"}}
    return HttpJsonSettings.model_validate({**said, "auth": "basic", "channels": counted})


async def poll(sources: LiveSources) -> int:
    """Query all zones once. Returns the ports."""
    policy = make_policy(("sip",), source_zone="East")
    [group] = (await sources["epm"].query("East", policy)).groups
    return group.total


async def poll_refused(sources: LiveSources, rounds: int) -> None:
    for _ in range(rounds):
        with pytest.raises(CredentialsRefused):
            await poll(sources)


async def try_password(url: str, user: str, password: str) -> int:
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


async def test_the_lock_of_this_tomcat_is_real(tomcat: str) -> None:
    assert await try_password(tomcat, "second", "right") == 200
    for _ in range(LOCKED_AFTER):
        assert await try_password(tomcat, "second", "wrong") == 401
    assert await try_password(tomcat, "second", "right") == 401
    assert await try_password(tomcat, "first", "right") == 200


@pytest.mark.parametrize("kind", ["experience_portal", "http_json"])
async def test_after_many_polls_with_a_wrong_password_a_reload_with_the_right_one_works(
    tomcat: str, kind: str
) -> None:
    sources = LiveSources({"epm": settings(kind, tomcat, "wrong")})
    try:
        await poll_refused(sources, 4 * LOCKED_AFTER)
        for old in sources.replace({"epm": settings(kind, tomcat, "right")}):
            await old.close()
        assert await poll(sources) == 60
    finally:
        await sources.close()


async def test_after_many_polls_with_a_wrong_password_a_changed_file_works(
    tomcat: str, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong")
    sources = LiveSources({"epm": settings("experience_portal", tomcat, {"file": str(secret)})})
    try:
        await poll_refused(sources, 4 * LOCKED_AFTER)
        secret.write_text("right")
        assert await poll(sources) == 60
    finally:
        await sources.close()

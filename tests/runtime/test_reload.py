"""SIGHUP: what the file says anew becomes live; a broken file changes nothing."""

import asyncio
import hashlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from admission.config.load import load_settings
from admission.errors import Unavailable
from admission.http.auth.tokens import Credentials
from admission.http.problems import Unauthorized
from admission.runtime.reload import Reloader, build_tokens, reload_on_sighup
from admission.service.bootstrap import open_service
from admission.service.service import Service
from admission.telemetry.metrics import Telemetry
from tests.support.http_peer import serve_peer
from tests.support.redis_server import RedisServer
from tests.support.secrets import keep_secret
from tests.support.service import EAST, SOURCE, wait_until

WEST = '[zones.West]\nsource = "push"\nchannels = ["sip"]\n'


def token(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f'[[auth.tokens]]\nname = "{name}"\nsha256 = "{digest}"\nrole = "viewer"\n'


class Serving:
    """A service that was started with a file, and the file."""

    def __init__(self, path: Path, redis_url: str) -> None:
        self._path, self._head = path, f'[redis]\nurl = "{redis_url}"\n'
        self.write(EAST + token("one"))
        self.settings = load_settings(path, {})
        self.credentials = Credentials(build_tokens(self.settings))

    def started(self, service: Service) -> None:
        self.service = service
        self.reloader = Reloader(self._path, {}, self.settings, service, self.credentials)

    def write(self, text: str) -> None:
        self._path.write_text(self._head + text)

    async def limit(self) -> int:
        policy = (await self.service.zone("East").get_policy())["policy"]
        return int(policy["campaigns"]["collections"]["limit"])


@pytest.fixture
async def serving(tmp_path: Path, redis_url: str) -> AsyncIterator[Serving]:
    found = Serving(tmp_path / "a.toml", redis_url)
    async with open_service(found.settings, Telemetry()) as service:
        found.started(service)
        yield found


async def test_new_content_becomes_live(serving: Serving) -> None:
    serving.write(EAST.replace("limit = 8", "limit = 7") + token("one"))
    assert await serving.reloader.reload()
    assert await serving.limit() == 7
    assert (await serving.service.zone("East").get_status())["policy"]["differs_from_file"] is False


async def test_content_that_was_live_before_does_not_undo_a_change(serving: Serving) -> None:
    patch = {"campaigns": {"collections": {"limit": 3}}}
    await serving.service.zone("East").patch_policy(patch, None)
    assert await serving.reloader.reload()
    assert await serving.limit() == 3
    assert (await serving.service.zone("East").get_status())["policy"]["differs_from_file"] is True


async def test_tokens_are_replaced(serving: Serving) -> None:
    serving.write(EAST + token("two"))
    assert await serving.reloader.reload()
    assert serving.credentials.authenticate("Bearer two").name == "two"
    with pytest.raises(Unauthorized):
        serving.credentials.authenticate("Bearer one")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", ["is not TOML"]),
        (
            EAST.replace("limit = 8", 'limit = "7"').replace("limit = 6", "limt = 6") + token("x"),
            ["zones.East.campaigns.collections.limit: must be a whole number", "did you mean lim"],
        ),
        (EAST.replace("limit = 8", "limit = 7"), ["the last token cannot be removed"]),
    ],
)
async def test_a_broken_file_changes_nothing_and_every_error_is_logged(
    serving: Serving, caplog: pytest.LogCaptureFixture, text: str, expected: list[str]
) -> None:
    serving.write(text)
    assert not await serving.reloader.reload()
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(lines) == len(expected)
    assert all(part in line for part, line in zip(expected, lines, strict=True)), lines
    assert await serving.limit() == 8
    assert serving.credentials.authenticate("Bearer one").name == "one"


async def test_a_file_that_is_gone_changes_nothing(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.toml").unlink()
    assert not await serving.reloader.reload()
    assert await serving.limit() == 8


async def test_a_new_zone_is_served(serving: Serving) -> None:
    serving.write(EAST + WEST + token("one"))
    assert await serving.reloader.reload()
    assert list(serving.service.list_zones()) == ["East", "West"]
    assert (await serving.service.zone("West").get_status())["recovering"] is True


async def test_a_change_that_needs_a_restart_is_logged(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    polled = WEST.replace("push", "epm")
    serving.write(
        EAST.replace("zones.East", "zones.North") + polled + SOURCE + "[log]\nlevel = 'debug'\n"
        + token("one")
    )  # fmt: skip
    assert await serving.reloader.reload()
    expected = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    for what in ("[log]", "[sources.epm]", "zone East is not in", "zone West is left as it is"):
        assert any(what in line and "restart" in line for line in expected), what
    assert list(serving.service.list_zones()) == ["East", "North"]


async def test_another_password_of_redis_needs_no_restart(
    own_redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret, path = tmp_path / "secret", tmp_path / "a.toml"

    def change_password(password: str) -> None:
        rights = ("reset", "on", f">{keep_secret(password)}", "~*", "&*", "+@all")
        with own_redis.client() as admin:
            admin.execute_command("ACL", "SETUSER", "joe", *rights)
        secret.write_text(password)

    change_password("first-redis-password")
    login = f'username = "joe"\npassword = {{ file = "{secret}" }}\n'
    path.write_text(f'[redis]\nurl = "{own_redis.url}"\n' + login + EAST)
    settings = load_settings(path, {})
    async with open_service(settings, Telemetry()) as service:
        reloader = Reloader(path, {}, settings, service, Credentials())
        await service.zone("East").get_time()
        change_password("second-redis-password")  # Redis ends the user's connections
        assert await reloader.reload()
        await service.zone("East").get_time()
    assert "restart" not in caplog.text


async def test_an_unreachable_store_is_logged(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("Redis is away")

    monkeypatch.setattr(serving.service, "reload", away)
    assert not await serving.reloader.reload()
    assert "try again: Redis is away" in caplog.text


async def test_the_demo_has_no_file(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    demo = Reloader(None, {}, serving.settings, serving.service, serving.credentials)
    assert not await demo.reload()
    assert "no file" in caplog.text


async def test_every_hangup_signal_reloads_the_file(serving: Serving) -> None:
    done: asyncio.Queue[bool] = asyncio.Queue()

    async def reload() -> None:
        done.put_nowait(await serving.reloader.reload())

    async with reload_on_sighup(reload), asyncio.timeout(10):
        for limit in (7, 6):
            serving.write(EAST.replace("limit = 8", f"limit = {limit}") + token("one"))
            os.kill(os.getpid(), signal.SIGHUP)
            assert await done.get()
            assert await serving.limit() == limit


async def test_a_changed_source_is_used_at_once(tmp_path: Path, redis_url: str) -> None:
    """A refused password is replaced by SIGHUP, without a restart and without the pause."""

    async def answer(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["Authorization"])
        status = 200 if sent[-1] == f"Bearer {right}" else 401
        return web.json_response({"total": 9, "used": 2}, status=status)

    sent: list[str] = []
    right = "new-token"
    async with serve_peer(answer) as peer:
        path, secret = tmp_path / "a.toml", tmp_path / "token"
        secret.write_text("old-token")
        path.write_text(
            f'[redis]\nurl = "{redis_url}"\n[sources.sbc]\ntype = "http_json"\nurl = "{peer.url}"\n'
            f'auth = "bearer"\ntoken = {{ file = "{secret}" }}\n'
            'channels.sip = { total = "total", used = "used" }\n'
            '[zones.East]\nsource = "sbc"\nchannels = ["sip"]\n'
            "poll_interval_ms = 50\npoll_min_ms = 50\n"
        )
        settings = load_settings(path, {})
        async with open_service(settings, Telemetry()) as service:
            reloader = Reloader(path, {}, settings, service, Credentials([]))

            async def is_state(state: str) -> bool:
                [health] = (await service.zone("East").get_status())["sources"]
                return bool(health.get("state") == state)

            await wait_until(lambda: is_state("failing"))
            secret.write_text(right)
            assert await reloader.reload()
            await wait_until(lambda: is_state("ok"))
    assert sent[0] == "Bearer old-token"
    assert sent.count("Bearer old-token") == 1

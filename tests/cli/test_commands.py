"""The operators' commands against a served service: what they print, what they exit with."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import redis

from admission.domain.types import Role
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials
from admission.ledger.keys import zone_keys
from tests.support.http_server import FakeDecider, serving
from tests.support.service import EAST, ServiceHarness
from tests.support.service_fixtures import Run
from tests.support.tokens import token


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that says something else than what the service was started with, and a secret."""
    path = tmp_path / "a.toml"
    secret = '[sources.epm]\ntype = "experience_portal"\nurl = "http://x/y"\nusername = "u"\n'
    secret += 'password = { env = "NOT_HERE" }\n'
    text = EAST.replace("limit = 8", "limit = 5").replace("h323 = 4", "h323 = 3")
    path.write_text(text.replace('[zones.East.pools."agent:*"]\nlimit = 1', "") + secret)
    return path


def extend(path: Path, text: str) -> None:
    path.write_text(text + path.read_text())


async def live(harness: ServiceHarness) -> dict[str, Any]:
    return dict((await harness.get("/v1/zones/East/policy"))["policy"])


async def test_apply_shows_what_differs_and_makes_it_live(
    harness: ServiceHarness, run: Run, file: Path
) -> None:
    code, out, _ = await run("apply", str(file), "--yes", "--url", harness.url)
    assert code == 0
    assert out.splitlines() == [
        "East: the file differs from the live version 1",
        "  ~ campaigns.collections.limit: 8 -> 5",
        "  ~ capacity.h323: 4 -> 3",
        '  - pools."agent:*".limit = 1',
        "East: version 2 is live",
    ]
    assert (await live(harness))["campaigns"]["collections"]["limit"] == 5
    code, out, _ = await run("apply", str(file), "--yes", "--url", harness.url)
    assert (code, out) == (0, "East: the file is live (version 2)\n")


async def test_apply_writes_nothing_in_a_dry_run(
    harness: ServiceHarness, run: Run, file: Path
) -> None:
    code, out, _ = await run("apply", str(file), "--dry-run", "--json", "--url", harness.url)
    [east] = json.loads(out)["zones"]
    assert code == 0
    assert (east["differs"], east["written"], len(east["differences"])) == (True, False, 3)
    assert east["differences"][1] == {"path": "capacity.h323", "live": 4, "file": 3}
    assert (await live(harness))["capacity"]["h323"] == 4


async def test_apply_asks_for_confirmation_and_fails_without_a_terminal(
    harness: ServiceHarness, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = await run("apply", str(file), "--url", harness.url)
    assert (code, "add --yes" in err) == (2, True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert (await run("apply", str(file), "--url", harness.url))[0] == 0
    assert (await live(harness))["capacity"]["h323"] == 4
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert (await run("apply", str(file), "--url", harness.url))[0] == 0
    assert (await live(harness))["capacity"]["h323"] == 3


async def test_apply_continues_past_a_zone_that_the_service_does_not_have(
    harness: ServiceHarness, run: Run, file: Path
) -> None:
    zone = '[zones.Nowhere]\nsource = "push"\nchannels = ["sip"]\n'
    extend(file, zone)
    code, out, _ = await run("apply", str(file), "--yes", "--url", harness.url)
    assert code == 1
    assert "Nowhere: not written: There is no such zone." in out
    assert "East: version 2 is live" in out


async def test_apply_does_not_overwrite_a_concurrent_change(
    harness: ServiceHarness, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()

    def changed(_: str) -> str:
        patch = harness.service.zone("East").patch_policy({"shadow": True}, None)
        asyncio.run_coroutine_threadsafe(patch, loop).result(10)
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", changed)
    code, out, _ = await run("apply", str(file), "--url", harness.url)
    assert code == 1
    assert "East: not written: it was changed meanwhile" in out
    assert (await live(harness))["shadow"] is True


async def test_a_broken_file_is_explained_and_no_request_is_sent(run: Run, file: Path) -> None:
    extend(file, '[zones.West]\nsource = "push"\nchannels = ["sip"]\nshadwo = true\n')
    code, _, err = await run("apply", str(file), "--url", "http://127.0.0.1:1")
    assert code == 2
    assert "line 4: zones.West.shadwo: unknown key; did you mean shadow?" in err


async def test_set_changes_what_it_names(harness: ServiceHarness, run: Run) -> None:
    code, out, _ = await run(
        "set", "East", "campaigns.collections.limit=50", "headroom=5%", "placement=controller",
        "pools.trunk:carrier-a.limit=", 'campaigns."*".weight=2.5', "--url", harness.url,
    )  # fmt: skip
    assert (code, out) == (0, "East: version 2 is live\n")
    found = await live(harness)
    assert found["campaigns"] == {"collections": {"limit": 50}, "*": {"weight": 2.5}}
    assert (found["headroom"], found["placement"]) == ("5%", "controller")
    assert found["pools"]["trunk:carrier-a"] == {}
    code, out, _ = await run("set", "East", "headroom=5%", "--url", harness.url)
    assert (code, out) == (0, "East: version 2 was live before: nothing changed\n")


async def test_a_refusal_names_every_wrong_place(harness: ServiceHarness, run: Run) -> None:
    code, out, err = await run(
        "set", "East", "campaigns.collections.limit=5O", "shadwo=true", "--url", harness.url
    )
    assert (code, out) == (1, "")
    assert "  campaigns.collections.limit: must be a whole number" in err
    assert "  shadwo: unknown key; did you mean shadow?" in err


async def test_pause_and_resume(harness: ServiceHarness, run: Run) -> None:
    url = ("--url", harness.url)
    assert await run("pause", "East", *url) == (0, "East: paused\n", "")
    assert await run("pause", "East", *url) == (0, "East: paused, as before\n", "")
    assert (await harness.ask())["reason"] == "zone_paused"
    assert await run("resume", "East", *url) == (0, "East: not paused\n", "")
    assert await run("pause", "East", "mpp:mpp1", *url) == (0, "East mpp:mpp1: paused\n", "")
    code, out, _ = await run("resume", "East", "mpp:mpp1", "--json", *url)
    assert (code, json.loads(out)["changed"]) == (0, True)
    code, _, err = await run("pause", "East", "mpp:mpp9", *url)
    assert (code, err) == (1, "admission: zone East knows no pool mpp:mpp9\n")


async def test_what_was_set_aside_is_shown_and_cleared(
    harness: ServiceHarness, run: Run, redis_sync: redis.Redis
) -> None:
    url, keys = ("--url", harness.url), zone_keys("adm", "East")
    requests, moved = keys[2], f"{keys[14]}:req"
    redis_sync.delete(requests)
    redis_sync.rpush(requests, "x")
    await harness.ask()
    code, out, _ = await run("status", "East", *url)
    assert code == 0
    shown = "".join(out.split())  # the terminal folds long lines
    assert f"setaside:keyreq(isalist,now{moved}):repeatsofearlier" in shown
    assert await run("clear-aside", "East", *url) == (0, "East: 1 entries deleted\n", "")
    assert not redis_sync.exists(moved)
    code, out, _ = await run("status", "East", *url)
    assert "set aside:" not in out


async def test_status_is_small_and_readable(harness: ServiceHarness, run: Run) -> None:
    await harness.ask(pools=["trunk:carrier-a"])
    await run("pause", "East", "mpp:mpp1", "--url", harness.url)
    code, out, _ = await run("status", "--url", harness.url)
    assert code == 0
    assert out.splitlines() == [
        "East: policy version 2, mpp:mpp1 paused",
        "  pool           in use    limit     room",
        "  channel:h323        0        4        4",
        "  channel:sip         1       10        9",
    ]
    code, out, _ = await run("status", "East", "--url", harness.url)
    assert "  trunk:carrier-a             1        6        5" in out.splitlines()
    assert "  source static" in out
    code, out, _ = await run("status", "East", "--json", "--url", harness.url)
    assert json.loads(out)["zone"] == "East"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("pause",),
        ("set", "East"),
        ("set", "East", "limit"),
        ("set", "East", "a=1", "a=2"),
        ("status", "--url", "nonsense"),
        ("status", "--token-env", "NOT_SET"),
        ("apply", "/nowhere.toml"),
    ],
)
async def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert (await run(*arguments))[0] == 2


@pytest.mark.parametrize("arguments", [("status",), ("pause", "East"), ("set", "East", "a=1")])
async def test_an_unreachable_service_is_reported(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = await run(*arguments, "--url", "http://127.0.0.1:1")
    assert code == 3
    assert "http://127.0.0.1:1 cannot be reached" in err


async def test_the_token_comes_from_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [token("ops", Role.OPERATOR), token("look", Role.VIEWER)]
    app = create_app(FakeDecider(), credentials=Credentials(tokens), default_zone="East")
    async with serving(app) as server:
        monkeypatch.setenv("ADMISSION_URL", f"http://127.0.0.1:{server.port}/")
        assert (await run("pause", "East"))[0] == 1
        monkeypatch.setenv("ADMISSION_TOKEN", "ops")
        assert (await run("pause", "East"))[0] == 0
        monkeypatch.setenv("VIEWER", "look")
        code, _, err = await run("pause", "East", "--token-env", "VIEWER")
    assert (code, "role viewer" in err) == (1, True)


async def test_another_server_counts_as_unreachable(run: Run) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(page, "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        code, _, err = await run("status", "--url", f"http://127.0.0.1:{port}")
    assert (code, "does not talk like this service" in err) == (3, True)

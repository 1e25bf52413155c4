"""What a terminal obeys, or a reader does not see, is escaped in the output of every command."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.service import ServiceHarness
from tests.support.service_fixtures import Run

HOSTILE = "\x1b[2J\r\x07\x9b\u202e\u2066\u200b\ufeff\u2028"
ESCAPED = r"\x1b[2J\x0d\x07\x9b\u202e\u2066\u200b\ufeff\u2028"
# Fields that a command displays and that decide nothing.
DISPLAYED = {
    "owner",
    "campaign",
    "mpp",
    "outcome",
    "channel",
    "detail",
    "actor",
    "target",
    "reason",
    "pool",
}


def spoil(value: Any) -> Any:
    """The same answer, as an older service or a hostile one may give it."""
    if isinstance(value, dict):
        return {
            name: one + HOSTILE if name in DISPLAYED and isinstance(one, str) else spoil(one)
            for name, one in value.items()
        }
    return [spoil(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
async def spoiled(harness: ServiceHarness) -> AsyncIterator[str]:
    """The address of a proxy to the service that spoils its answers."""
    async with ClientSession() as client:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            url = f"{harness.url}{request.path_qs}"
            headers = {"Content-Type": "application/json"}
            async with client.request(request.method, url, data=body, headers=headers) as answer:
                found = await answer.json(content_type=None)
            return web.json_response(spoil(found), status=answer.status)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


@pytest.mark.parametrize(
    "command",
    [
        ("ask", "collections"),
        ("ask", "unlisted"),
        ("ask", "collections", "--dry-run", "--explain"),
        ("reservations", "East"),
        ("status",),
        ("status", "East"),
        ("top", "--iterations", "1"),
        ("audit", "East"),
        ("pause", "Nowhere"),
    ],
    ids=" ".join,
)
async def test_output_has_no_invisible_characters(
    spoiled: str, harness: ServiceHarness, run: Run, command: tuple[str, ...]
) -> None:
    await run("ask", "collections", "--url", harness.url)
    await run("pause", "East", "campaign:other", "--url", harness.url)
    _, out, err = await run(*command, "--url", spoiled)
    for line in (out + err).splitlines():
        assert line.isprintable(), line
    assert ESCAPED in out + err


async def test_json_output_has_the_characters_themselves(
    spoiled: str, harness: ServiceHarness, run: Run
) -> None:
    await run("pause", "East", "--url", harness.url)
    _, out, _ = await run("audit", "East", "--json", "--url", spoiled)
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)["entries"][0]["actor"] == "anonymous" + HOSTILE

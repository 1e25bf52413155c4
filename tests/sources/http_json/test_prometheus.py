"""Debian's Prometheus, which scrapes an exporter on loopback: the recipe of the page."""

import asyncio
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from admission.errors import SourceError
from tests.docs.blocks import blocks
from tests.support.http_peer import ask, say, serve_peer, zone_policy
from tests.support.kamailio import free_port
from tests.support.tools import tool

PAGE = Path("docs/platforms/http-json.md")


def recipe(name: str) -> dict[str, Any]:
    """A `[sources.X]` table of the page, without its type."""
    tables = [tomllib.loads(one.text) for one in blocks(PAGE) if one.language == "toml"]
    [table] = [one["sources"][name] for one in tables if name in one.get("sources", {})]
    return {key: value for key, value in table.items() if key != "type"}


@asynccontextmanager
async def run_prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    config = folder / "prometheus.yml"
    host = target.removeprefix("http://")
    config.write_text(
        "scrape_configs:\n- job_name: sbc\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n"
        f"  static_configs:\n  - targets: ['{host}']\n"
    )
    port = free_port()
    program = await asyncio.create_subprocess_exec(
        tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        program.terminate()
        await program.wait()


async def test_the_recipe_reads_a_count_and_when_it_was_scraped(tmp_path: Path) -> None:
    tool("prometheus")
    exporter = say("# TYPE sbc_calls gauge\nsbc_calls 8\n", content_type="text/plain")
    said = recipe("prom")
    async with serve_peer(exporter) as peer, run_prometheus(tmp_path, peer.url) as url:
        said["url"] = said["url"].replace("http://127.0.0.1:9090", url)
        policy = zone_policy(max_age_ms=30_000)
        errors = []
        async with asyncio.timeout(60):
            while True:
                try:
                    snapshot = await ask(policy=policy, **said)
                    break
                except SourceError as error:
                    errors.append(error.detail)
                    await asyncio.sleep(0.1)
    assert snapshot.groups[0].total == 60
    assert snapshot.groups[0].unused == {"channel:sip": 52}
    assert snapshot.age_ms is not None
    # Before the first scrape the answer is 200 with an empty list: an error, never 0 calls.
    answered = [one for one in errors if "gave null" in one]
    assert answered or not errors


async def test_no_data_is_an_error_and_not_an_empty_trunk() -> None:
    empty = {"status": "success", "data": {"resultType": "vector", "result": []}}
    said = recipe("prom")
    async with serve_peer(say(empty)) as peer:
        said["url"] = said["url"].replace("http://127.0.0.1:9090", peer.url)
        with pytest.raises(SourceError, match="gave null"):
            await ask(policy=zone_policy(), **said)


SHAPES: dict[str, Any] = {
    "ari": (
        [
            {"id": "1", "name": "PJSIP/trunk-01", "state": "Up"},
            {"id": "2", "name": "PJSIP/agent-02", "state": "Up"},
            {"id": "3", "name": "Local/x@y-03;1", "state": "Up"},
            {"id": "4", "name": "PJSIP/trunk-04", "state": "Ring"},
        ],
        (60, 58),
    ),
    "lb": (
        {
            "jsonrpc": "2.0",
            "result": {
                "Destinations": [
                    {
                        "id": 1, "uri": "sip:gw1", "enabled": "yes",
                        "Resources": [{"name": "pstn", "max": 32, "load": 5}],
                    },
                    {
                        "id": 2, "uri": "sip:gw2", "enabled": "no",
                        "Resources": [{"name": "pstn", "max": 32, "load": 0}],
                    },
                ]
            },
        },
        (32, 27),
    ),
    "fs": ({"row_count": 7}, (60, 53)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
async def test_the_recipes_read_recorded_shapes(name: str) -> None:
    answer, counted = SHAPES[name]
    said = recipe(name)
    if "password" in said:
        said["password"] = "s3cret"
    async with serve_peer(say(answer)) as peer:
        host = said["url"].partition("//")[2].partition("/")[0]
        said["url"] = said["url"].replace(f"http://{host}", peer.url)
        [group] = (await ask(policy=zone_policy(), **said)).groups
    assert (group.total, *group.unused.values()) == counted


async def test_the_recipe_of_an_exporter_reads_its_metrics() -> None:
    text = 'sbc_license_max{kind="sip"} 40\nsbc_calls{trunk="carrier-a",dir="in"} 3\n'
    text += 'sbc_calls{trunk="carrier-a",dir="out"} 4\nsbc_calls{trunk="b",dir="in"} 9\n'
    said = recipe("exporter")
    async with serve_peer(say(text, content_type="text/plain")) as peer:
        said["url"] = said["url"].replace("http://127.0.0.1:9494", peer.url)
        [group] = (await ask(policy=zone_policy(), **said)).groups
    assert (group.total, group.unused["channel:sip"]) == (40, 33)

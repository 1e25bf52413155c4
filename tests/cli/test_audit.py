"""`admission audit`: what operators did, as lines."""

import json

from tests.support.service import ServiceHarness
from tests.support.service_fixtures import Run


async def test_operator_actions_are_listed_newest_first(harness: ServiceHarness, run: Run) -> None:
    await run("pause", "East", "campaign:collections", "--url", harness.url)
    await run("resume", "East", "campaign:collections", "--url", harness.url)
    code, out, _ = await run("audit", "East", "--url", harness.url)
    lines = [line.split("  ") for line in out.splitlines()]
    assert (code, len(lines)) == (0, 4)
    words = [[word.strip() for word in line if word.strip()] for line in lines]
    assert words[0] == ["TIME (UTC)", "ACTOR", "ACTION", "TARGET", "DETAIL"]
    assert words[1][1:] == ["anonymous", "resume", "campaign:collections", "version 3"]
    assert words[2][1:] == ["anonymous", "pause", "campaign:collections", "version 2"]
    assert words[3][1:4] == ["the file", "begin", "the zone"]


async def test_the_audit_is_json_with_the_option(harness: ServiceHarness, run: Run) -> None:
    await run("pause", "East", "--url", harness.url)
    code, out, _ = await run("audit", "East", "--limit", "1", "--json", "--url", harness.url)
    [entry] = json.loads(out)["entries"]
    assert (code, entry["action"], entry["target"]) == (0, "pause", None)


async def test_an_unknown_zone_is_reported(harness: ServiceHarness, run: Run) -> None:
    code, _, err = await run("audit", "Nowhere", "--url", harness.url)
    assert (code, "no such zone" in err) == (1, True)

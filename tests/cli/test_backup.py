"""Backup and restore against served services: what was saved is live again on an empty Redis."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import ServiceHarness
from tests.support.service_fixtures import Run


async def policy(harness: ServiceHarness) -> dict[str, Any]:
    return dict((await harness.get("/v1/zones/East/policy"))["policy"])


async def paused(harness: ServiceHarness) -> set[str]:
    return set((await harness.get("/v1/zones/East"))["paused"])


async def test_a_restore_brings_policies_and_pauses_back(
    harness: ServiceHarness, run: Run, tmp_path: Path
) -> None:
    file, service = str(tmp_path / "zones.json"), ("--url", harness.url)
    await run("set", "East", "campaigns.collections.limit=3", *service)
    await run("pause", "East", "trunk:carrier-a", *service)
    saved = await policy(harness)
    code, out, _ = await run("backup", file, *service)
    assert (code, out) == (0, f"{file}: 1 zones\n")

    # All that the backup has is lost, and something else was paused since.
    await run("set", "East", "campaigns.collections.limit=9", *service)
    await run("resume", "East", "trunk:carrier-a", *service)
    await run("pause", "East", "channel:sip", *service)
    code, out, _ = await run("restore", file, "--yes", *service)
    assert code == 0, out
    assert "campaigns.collections.limit: 9 -> 3" in out
    assert "East: trunk:carrier-a is paused in the backup" in out
    assert "East: channel:sip stays paused" in out
    assert await policy(harness) == saved
    assert await paused(harness) == {"trunk:carrier-a", "channel:sip"}
    # Twice is once.
    code, out, _ = await run("restore", file, "--yes", "--json", *service)
    [east] = json.loads(out)["zones"]
    assert (code, east["differs"], east["to_pause"]) == (0, False, [])


async def test_a_backup_can_go_to_standard_output_and_a_dry_run_writes_nothing(
    harness: ServiceHarness, run: Run, tmp_path: Path
) -> None:
    service = ("--url", harness.url)
    code, out, _ = await run("backup", *service)
    assert code == 0
    (tmp_path / "zones.json").write_text(out)
    await run("set", "East", "headroom=2", *service)
    changed = await policy(harness)
    code, out, _ = await run("restore", str(tmp_path / "zones.json"), "--dry-run", *service)
    assert (code, "headroom" in out) == (0, True)
    assert await policy(harness) == changed


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "no backup"),
        ("[]", "no backup"),
        ('{"format": 2, "zones": {}}', "reads 1"),
        (
            '{"format": 1, "zones": {"East": {"policy": {"channels": 1}, "paused": []}}}',
            "no backup",
        ),
        (None, "cannot read"),
    ],
)
async def test_what_is_no_backup_is_refused_before_anything_is_sent(
    run: Run, tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "zones.json"
    if content is not None:
        file.write_text(content)
    code, _, err = await run("restore", str(file), "--url", "http://127.0.0.1:9")
    assert (code, why in err) == (2, True), err


async def test_a_backup_that_cannot_be_written_leaves_the_old_one(
    harness: ServiceHarness, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "zones.json"
    file.write_text("the old one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, err = await run("backup", str(file), "--url", harness.url)
    assert (code, "No space left" in err) == (2, True)
    assert os.listdir(tmp_path) == ["zones.json"]
    assert file.read_text() == "the old one"

"""Debian's Kamailio with real SIP calls: the lines of its page, and a launch race through it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from admission.errors import SourceError
from tests.support.http_peer import ask, zone_policy
from tests.support.kamailio import Kamailio, page_settings
from tests.support.service import ServiceHarness, serve_service, service_settings, wait_until
from tests.support.tools import tool

CARRIES, FOREIGN, DIALERS, CALLS = 6, 3, 4, 4


@pytest.fixture
def kamailio(tmp_path: Path) -> Kamailio:
    tool("kamailio")
    tool("sipp")
    return Kamailio(tmp_path, CARRIES)


async def test_a_profile_and_an_unknown_method_are_read_as_the_page_says(
    kamailio: Kamailio,
) -> None:
    body = '{"jsonrpc": "2.0", "method": "dlg.profile_get_size", "params": ["ports"], "id": 1}'
    said: dict[str, Any] = {"method": "POST", "body": body}
    said["channels"] = {"sip": {"total": "`6`", "used": "result"}}
    async with kamailio.run():
        url = f"http://127.0.0.1:{kamailio.port}/RPC"
        assert (await ask(url, zone_policy(), **said)).groups[0].unused == {"channel:sip": 6}
        said["body"] = body.replace("ports", "unknown")
        with pytest.raises(SourceError, match=r"HTTP status 404.*Profile not found: unknown"):
            await ask(url, zone_policy(), **said)


async def dial(kamailio: Kamailio, harness: ServiceHarness, name: str) -> int:
    """Ask until so many calls were granted, and launch each at once. Returns those carried."""
    carried = 0
    for call in range(CALLS):
        attempt = 0
        while True:
            attempt += 1
            answer = await harness.admit(f"{name}-{call}-{attempt}", wait_ms=5_000, campaign=name)
            if answer.get("decision") == "grant":
                break
        was_carried = await kamailio.call(talk_ms=400)
        carried += was_carried
        await harness.end(answer, "completed" if was_carried else "no_resource")
    return carried


async def test_a_launch_race_on_real_calls_has_no_over_launch(
    kamailio: Kamailio, redis_url: str
) -> None:
    # The page's file, for a trunk of this size; nothing here depends on how fast the machine is.
    text = (
        page_settings(kamailio.port)
        .replace("`60`", f"`{CARRIES}`")
        .replace(
            'source = "sbc"\n',
            'source = "sbc"\nlaunch_within_ms = 4000\nclaim_within_ms = 4000\npoll_min_ms = 100\n'
            "poll_interval_ms = 200\nmax_age_ms = 60000\n",
        )
    )
    async with kamailio.run():
        await kamailio.hold_calls(FOREIGN)
        async with serve_service(service_settings(text, redis_url)) as harness:
            await harness.can_grant()

            async def foreign_calls_are_seen() -> bool:
                pools = (await harness.status())["pools"]
                found = [one.get("snapshot") for one in pools if one["pool"] == "channel:sip"]
                return [one and one.get("unused") for one in found] == [CARRIES - FOREIGN]

            await wait_until(foreign_calls_are_seen)
            dialers = (dial(kamailio, harness, f"dialer{n}") for n in range(DIALERS))
            carried = await asyncio.gather(*dialers)
        assert kamailio.over_launches == 0
        assert sum(carried) == DIALERS * CALLS

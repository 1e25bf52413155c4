"""`admission top`: what it shows of which status; that it ends and fails as it should."""

import json
from typing import Any

import pytest

from admission.cli.top_table import Look, rates, top_lines
from admission.terminal import coloured
from tests.support.service_fixtures import Run
from tests.support.service_house import House


def pool(name: str, in_use: int, limit: int | None, **more: Any) -> dict[str, Any]:
    room = None if limit is None else limit - in_use
    return {"pool": name, "in_use": in_use, "limit": limit, "room": room} | more


ZONE: dict[str, Any] = {
    "zone": "East",
    "now": 10_000,
    "recovering": False,
    "paused": {"mpp:mpp1": 1},
    "waiters": 3,
    "longest_wait_ms": 1200,
    "stats": {"grant": 50, "deny:mpp_full": 120, "deny:rate_limited": 7},
    "pools": [
        pool("trunk:carrier-a", 2, 100, temporary_limit=50),
        pool("campaign:sales", 4, None),
        pool("mpp:mpp2:sip", 40, 40),
        pool("mpp:mpp1:sip", 10, 40),
        pool("channel:sip", 136, 200),
    ],
    "sources": [{"source": "epm", "state": "ok", "last_success_age_ms": 400, "last_error": None}],
}
BEFORE = ZONE | {"now": 8_000, "stats": {"grant": 44, "deny:mpp_full": 100}}


def look(*zones: dict[str, Any], **more: Any) -> Look:
    return Look(place="http://x", zones=zones, **more)


def test_rates_are_per_second_of_the_zones_time() -> None:
    assert rates(BEFORE, ZONE) == {"grant": 3, "deny:mpp_full": 10, "deny:rate_limited": 3.5}
    assert rates(None, ZONE) == {}
    assert rates(ZONE, ZONE) == {}
    assert rates(ZONE | {"stats": {"grant": 900}}, ZONE | {"now": 11_000})["deny:mpp_full"] == 120


def test_a_zone_at_a_glance() -> None:
    lines = top_lines(look(ZONE, rates={"East": rates(BEFORE, ZONE)}), 40)
    assert lines[2:] == [
        "East  may launch: sip 64   3 wait, longest 1.2 s",
        "  grants 3.0/s, denies 13.5/s (mpp_full 10.0, rate_limited 3.5)",
        "  source epm: ok, answered 0.4 s ago",
        "  POOL                    IN USE   LIMIT   ROOM  USED",
        "  channel:sip                136     200     64  [#############.......]",
        "  mpp:mpp2:sip                40      40      0  [####################]",
        "  mpp:mpp1:sip                10      40     30  [#####...............] paused",
        "  campaign:sales               4       -      -",
        "  trunk:carrier-a              2     100     98  [....................] set 50",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recovering": True}, "East  recovering"),
        ({"paused": {"zone": 1}}, "East  PAUSED"),
        ({"shadow": True}, "East  shadow"),
    ],
)
def test_what_stops_a_zone_stands_where_its_room_would(change: dict[str, Any], said: str) -> None:
    assert top_lines(look(ZONE | change | {"waiters": 0}), 40)[2] == said


def test_a_source_in_trouble_says_why() -> None:
    source = {"source": "epm", "state": "failing", "last_success_age_ms": 8000, "last_error": "401"}
    lines = top_lines(look(ZONE | {"sources": [source]}), 40, coloured)
    assert "\x1b[1;31m  source epm: failing, answered 8.0 s ago: 401\x1b[0m" in lines


def test_many_zones_share_the_window_and_none_is_lost() -> None:
    zones = [ZONE | {"zone": name} for name in ("A", "B", "C")]
    problem = {"zone": "D", "problem": {"detail": "the store does not answer"}}
    lines = top_lines(look(*zones, problem), 24)
    assert len(lines) <= 24
    heads = [line[:1] for line in lines if line[:1] in set("ABCD")]
    assert heads == ["A", "B", "C", "D"]
    assert all(len(line) <= 79 for line in top_lines(look(*zones), 200))


def test_old_numbers_say_that_they_are_old() -> None:
    old = look(ZONE, at=1.0).aged(6.2, "http://x cannot be reached")
    assert top_lines(old, 40)[0] == "5 s OLD: http://x cannot be reached"


async def test_without_a_terminal_it_prints_blocks_and_ends(house: House, run: Run) -> None:
    await house.ask(channel="sip")
    code, out, _ = await run("top", "--times", "2", "--every", "0", "--url", house.url)
    assert code == 0
    assert out.count("East  may launch: h323 4, sip 9") == 2
    code, out, _ = await run("top", "East", "--json", "--times", "1", "--url", house.url)
    assert (code, json.loads(out)["zones"][0]["zone"]) == (0, "East")


async def test_a_service_that_is_not_there(run: Run) -> None:
    code, _, err = await run("top", "--times", "1", "--url", "http://127.0.0.1:1")
    assert (code, "cannot be reached" in err) == (3, True)


async def test_a_zone_that_is_not_there(house: House, run: Run) -> None:
    code, _, err = await run("top", "Nowhere", "--times", "1", "--url", house.url)
    assert (code, "no such zone" in err) == (1, True)

"""`admission top`: what it shows of which status; that it ends and fails as it should."""

import json
from typing import Any

import pytest
from rich.console import Console

from admission.cli.output import render_lines
from admission.cli.top_table import Sample, compute_rates, render_top
from tests.support.service import ServiceHarness
from tests.support.service_fixtures import Run


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


def sample(*zones: dict[str, Any], **more: Any) -> Sample:
    return Sample(url="http://x", zones=zones, **more)


def lines_of(shown: Sample, rows: int = 40, width: int = 80) -> list[str]:
    return render_lines(render_top(shown, rows, width), width)


def test_rates_are_per_second_of_the_zones_time() -> None:
    rates = {"grant": 3, "deny:mpp_full": 10, "deny:rate_limited": 3.5}
    assert compute_rates(BEFORE, ZONE) == rates
    assert compute_rates(None, ZONE) == {}
    assert compute_rates(ZONE, ZONE) == {}
    reset = ZONE | {"stats": {"grant": 900}}
    assert compute_rates(reset, ZONE | {"now": 11_000})["deny:mpp_full"] == 120


def test_a_zone_is_shown_with_rates_sources_and_pools_the_fullest_first() -> None:
    lines = lines_of(sample(ZONE, rates={"East": compute_rates(BEFORE, ZONE)}))
    assert lines[2:] == [
        "East  may launch: sip 64   3 waiting, longest 1.2 s",
        "  grants 3.0/s, denies 13.5/s (mpp_full 10.0, rate_limited 3.5)",
        "  source epm: ok, answered 0.4 s ago",
        "  POOL             IN USE  LIMIT  ROOM  USED",
        "  channel:sip         136    200    64   68%  ━━━━━━━━━━╸",
        "  mpp:mpp2:sip         40     40     0  100%  ━━━━━━━━━━━━━━━━",
        "  mpp:mpp1:sip         10     40    30   25%  ━━━━              paused",
        "  campaign:sales        4      -     -     -",
        "  trunk:carrier-a       2    100    98    2%                    limit 50",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"recovering": True}, "East  recovering"),
        ({"paused": {"zone": 1}}, "East  PAUSED"),
        ({"shadow": True}, "East  shadow"),
    ],
)
def test_a_state_that_stops_a_zone_replaces_its_room(change: dict[str, Any], expected: str) -> None:
    assert lines_of(sample(ZONE | change | {"waiters": 0}))[2] == expected


def test_a_failing_source_is_red_with_its_error() -> None:
    source = {"source": "epm", "state": "failing", "last_success_age_ms": 8000, "last_error": "401"}
    console = Console(force_terminal=True, color_system="standard", width=80, _environ={})
    with console.capture() as capture:
        console.print(render_top(sample(ZONE | {"sources": [source]}), 40, 80))
    assert "\x1b[1;31m  source epm: failing, answered 8.0 s ago: 401\x1b[0m" in capture.get()


def test_many_zones_share_the_window_and_none_is_lost() -> None:
    zones = [ZONE | {"zone": name} for name in ("A", "B", "C")]
    problem = {"zone": "D", "problem": {"detail": "the store does not answer"}}
    lines = lines_of(sample(*zones, problem), rows=24)
    assert len(lines) <= 24
    heads = [line[:1] for line in lines if line[:1] in set("ABCD")]
    assert heads == ["A", "B", "C", "D"]


def test_a_long_name_is_cut_in_a_terminal_and_whole_in_a_pipe() -> None:
    name = "campaign:" + "x" * 120
    long = sample(ZONE | {"pools": [pool(name, 1, 2)]})
    assert max(map(len, lines_of(long, width=80))) <= 80
    assert any("1      2     1   50%" in line for line in lines_of(long, width=80))
    assert any(name in line for line in render_lines(render_top(long, 40)))


def test_an_old_sample_is_marked_as_old() -> None:
    old = sample(ZONE, taken_at=1.0).age(6.2, "http://x cannot be reached")
    assert lines_of(old)[0] == "5 s OLD: http://x cannot be reached"


async def test_without_a_terminal_it_prints_blocks_and_ends(
    harness: ServiceHarness, run: Run
) -> None:
    await harness.ask(channel="sip")
    code, out, _ = await run("top", "--iterations", "2", "--interval", "0", "--url", harness.url)
    assert code == 0
    assert out.count("East  may launch: h323 4, sip 9") == 2
    code, out, _ = await run("top", "East", "--json", "--iterations", "1", "--url", harness.url)
    assert (code, json.loads(out)["zones"][0]["zone"]) == (0, "East")


async def test_an_unreachable_service_ends_the_view(run: Run) -> None:
    code, _, err = await run("top", "--iterations", "1", "--url", "http://127.0.0.1:1")
    assert (code, "cannot be reached" in err) == (3, True)


async def test_an_unknown_zone_ends_the_view(harness: ServiceHarness, run: Run) -> None:
    code, _, err = await run("top", "Nowhere", "--iterations", "1", "--url", harness.url)
    assert (code, "no such zone" in err) == (1, True)

"""What the demo shows: pure lines from frozen numbers."""

import re
from dataclasses import replace

import pytest
from rich.console import Console

from admission.cli.output import render_lines
from admission.demo.table import (
    CampaignNumbers,
    Numbers,
    ZoneNumbers,
    format_line,
    format_percent,
    format_reasons,
    render_table,
    summarize,
)

EAST = ZoneNumbers(
    name="East",
    ports=240,
    used=229,
    inbound=61,
    unused={"h323": 2, "sip": 9},
    age_ms=340,
    in_use=168,
    ceiling=175,
    grants=415,
    denies={"reserved": 40, "no_capacity": 700},
    launches=412,
    over_launches=1,
    filled=0.953,
)
SALES = CampaignNumbers(
    name="sales", in_use=52, calls=50, grants=126, denies=210, launches=126, defect="crashes"
)
GUARDED = Numbers(url="http://127.0.0.1:8080", seconds=83.4, zones=(EAST,), campaigns=(SALES,))
UNGUARDED = replace(
    GUARDED,
    url="",
    zones=(replace(EAST, in_use=None, ceiling=None),),
    campaigns=(replace(SALES, in_use=None),),
)
HUGE = replace(
    GUARDED,
    seconds=6e5,
    zones=tuple(
        ZoneNumbers(
            name=name * 9,
            ports=10_000,
            used=10_000,
            inbound=10_000,
            unused={"h323": 10_000, "sip": 10_000},
            age_ms=10_000,
            in_use=10_000,
            ceiling=10_000,
            grants=9_999_999,
            denies={f"reason_{n}": 9_999_999 for n in range(13)},
            launches=9_999_999,
            over_launches=9_999_999,
        )
        for name in "EW"
    ),
    campaigns=tuple(
        CampaignNumbers(
            name="campaign" * 9,
            in_use=10_000,
            calls=10_000,
            grants=9_999_999,
            denies=9_999_999,
            launches=9_999_999,
            over_launches=9_999_999,
            defect="a very long defect",
        )
        for _ in range(5)
    ),
    note="warning: " + "x" * 200,
)


def lines_of(numbers: Numbers) -> list[str]:
    return render_lines(render_table(numbers), 80)


def text_of(numbers: Numbers) -> str:
    return "\n".join(lines_of(numbers))


def painted(numbers: Numbers) -> str:
    console = Console(force_terminal=True, color_system="standard", width=80, _environ={})
    with console.capture() as capture:
        console.print(render_table(numbers))
    return capture.get()


@pytest.mark.parametrize("numbers", [GUARDED, UNGUARDED, HUGE])
def test_the_table_fits_a_small_terminal(numbers: Numbers) -> None:
    lines = lines_of(numbers)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_the_table_shows_the_truth_the_snapshot_and_the_ledger() -> None:
    shown = text_of(GUARDED)
    for part in ("240", "229", "61", " 95%", "168 / 175", "0.3 s ago: 2 h323, 9 sip unused"):
        assert part in shown


def test_the_table_shows_why_launches_were_denied() -> None:
    assert "no_capacity 700, reserved 40" in text_of(GUARDED)


def test_a_campaign_has_its_row_and_its_defect() -> None:
    row = next(line for line in lines_of(GUARDED) if line.startswith("sales"))
    assert row.split() == ["sales", "52", "50", "126", "210", "126", "0", "0.0%", "crashes"]


def test_without_a_controller_the_table_has_no_numbers_of_the_ledger() -> None:
    shown = text_of(UNGUARDED)
    assert "UNGUARDED" in shown
    assert "- / -" in shown


def test_a_recovering_zone_is_marked() -> None:
    assert "recovering" in text_of(replace(GUARDED, zones=(replace(EAST, recovering=True),)))


def test_before_the_first_snapshot_the_table_shows_none() -> None:
    zones = (replace(EAST, unused=None, age_ms=None),)
    assert "no snapshot of the platform yet" in text_of(replace(GUARDED, zones=zones))


def test_over_launches_are_red_and_none_is_green() -> None:
    assert re.search("\x1b\\[1;31m *1   0.2%", painted(GUARDED))
    assert re.search("\x1b\\[32m *0   0.0%", painted(GUARDED))


def test_a_warning_takes_the_place_of_the_legend() -> None:
    assert lines_of(replace(GUARDED, note="warning: no"))[-1] == "warning: no"


def test_before_the_first_reading_there_is_a_table_of_nothing() -> None:
    empty = Numbers(url="", seconds=0, zones=(), campaigns=())
    assert len(lines_of(empty)) < 24
    assert summarize(empty)[0] == "unguarded, 0 s: 0 launches, 0 over-launches (0.0%)"


def test_a_line_has_the_numbers_of_every_zone() -> None:
    assert format_line(GUARDED) == " 83.4 s  East 229/240 used, 412 launches, 1 over"


def test_the_summary_has_the_totals_in_one_block() -> None:
    zones = (EAST, replace(EAST, name="West", filled=None, denies={}))
    assert summarize(replace(GUARDED, zones=zones, callers=200, turned_away=3)) == [
        "guarded by the controller, 83 s: 824 launches, 2 over-launches (0.2%)",
        "  East: 412 launches, 1 over-launches (0.2%), 95.3% of the ports in use",
        "  West: 412 launches, 1 over-launches (0.2%)",
        "  East denied: no_capacity 700, reserved 40",
        "  West denied: none",
        "  inbound callers who found no port: 3 of 200 (1.5%)",
    ]


def test_the_bar_is_full_only_when_all_ports_are_used() -> None:
    def bar(used: int, ports: int) -> str:
        zone = replace(EAST, used=used, ports=ports)
        return next(
            line for line in lines_of(replace(GUARDED, zones=(zone,))) if line.startswith("East")
        )

    full = "━" * 16
    assert full in bar(240, 240)
    assert full in bar(250, 240)
    assert full not in bar(239, 240)
    assert "━" not in bar(0, 0)


def test_reasons_are_ordered_by_frequency() -> None:
    assert format_reasons({"odd": 3, "late": 3, "full": 20}) == "full 20, late 3, odd 3"
    assert format_reasons({}) == "none"


def test_a_share_of_nothing_is_zero() -> None:
    assert (format_percent(0, 0), format_percent(1, 3)) == ("0.0%", "33.3%")

"""What the demo shows: pure lines from frozen numbers."""

import re
from dataclasses import replace

import pytest

from admission.demo.table import (
    WIDTH,
    CampaignNumbers,
    Numbers,
    ZoneNumbers,
    one_line,
    percent,
    reasons,
    summary,
    table,
)
from admission.terminal import BAR, bar, coloured

SGR = re.compile("\x1b\\[[0-9;]*m")

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
    name="sales", in_use=52, calls=50, grants=126, denies=210, launches=126, habit="crashes"
)
GUARDED = Numbers(place="http://127.0.0.1:8080", seconds=83.4, zones=(EAST,), campaigns=(SALES,))
UNGUARDED = replace(
    GUARDED,
    place="",
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
            habit="a very long habit",
        )
        for _ in range(5)
    ),
    note="warning: " + "x" * 200,
)


def text_of(numbers: Numbers) -> str:
    return "\n".join(table(numbers))


@pytest.mark.parametrize("numbers", [GUARDED, UNGUARDED, HUGE])
def test_the_table_fits_a_small_terminal(numbers: Numbers) -> None:
    lines = table(numbers)
    assert len(lines) <= 24
    # A terminal that clears to the end of a full line clears its last column.
    assert max(map(len, lines)) <= WIDTH < 80


def test_the_table_shows_the_truth_the_photograph_and_the_ledger() -> None:
    shown = text_of(GUARDED)
    for part in ("240", "229", "61", " 95%", "168 / 175", "0.3 s ago: 2 h323, 9 sip"):
        assert part in shown


def test_the_table_shows_why_launches_were_denied() -> None:
    assert "no_capacity 700, reserved 40" in text_of(GUARDED)


def test_a_campaign_has_its_row_and_its_habit() -> None:
    row = next(line for line in table(GUARDED) if line.startswith("sales"))
    assert row.split() == ["sales", "52", "50", "126", "210", "126", "0", "0.0%", "crashes"]


def test_without_a_controller_nothing_is_said_of_a_ledger() -> None:
    shown = text_of(UNGUARDED)
    assert "UNGUARDED" in shown
    assert "- / -" in shown


def test_a_recovering_zone_says_so() -> None:
    assert "recovering" in text_of(replace(GUARDED, zones=(replace(EAST, recovering=True),)))


def test_a_platform_that_was_not_asked_said_nothing() -> None:
    zones = (replace(EAST, unused=None, age_ms=None),)
    assert "has not been asked yet" in text_of(replace(GUARDED, zones=zones))


def test_colour_changes_no_text() -> None:
    painted = table(GUARDED, coloured)
    assert [SGR.sub("", line) for line in painted] == table(GUARDED)
    assert painted != table(GUARDED)


def test_over_launches_are_red_and_none_is_green() -> None:
    painted = "\n".join(table(GUARDED, coloured))
    assert "\x1b[1;31m      1   0.2%" in painted
    assert "\x1b[32m      0   0.0%" in painted


def test_a_warning_takes_the_place_of_the_legend() -> None:
    assert table(replace(GUARDED, note="warning: no"))[-1] == "warning: no"


def test_before_the_first_reading_there_is_a_table_of_nothing() -> None:
    empty = Numbers(place="", seconds=0, zones=(), campaigns=())
    assert len(table(empty)) < 24
    assert summary(empty)[0] == "unguarded, 0 s: 0 launches, 0 over-launches (0.0%)"


def test_one_line_says_it_all() -> None:
    assert one_line(GUARDED) == " 83.4 s  East 229/240 used, 412 launches, 1 over"


def test_the_summary_has_the_totals_in_one_block() -> None:
    zones = (EAST, replace(EAST, name="West", filled=None, denies={}))
    assert summary(replace(GUARDED, zones=zones, callers=200, turned_away=3)) == [
        "guarded by the controller, 83 s: 824 launches, 2 over-launches (0.2%)",
        "  East: 412 launches, 1 over-launches (0.2%), 95.3% of the ports in use",
        "  West: 412 launches, 1 over-launches (0.2%)",
        "  East denied: no_capacity 700, reserved 40",
        "  West denied: none",
        "  inbound callers who found no port: 3 of 200 (1.5%)",
    ]


@pytest.mark.parametrize(
    ("part", "whole", "filled"), [(0, 0, 0), (0, 10, 0), (9, 10, 18), (10, 10, 20), (99, 10, 20)]
)
def test_a_bar_is_full_when_all_is(part: int, whole: int, filled: int) -> None:
    assert bar(part, whole) == "[" + "#" * filled + "." * (BAR - filled) + "]"


def test_a_bar_is_not_full_before() -> None:
    assert bar(239, 240).endswith(".]")


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (80, "full 20, late 3, odd 3"),
        (22, "full 20, late 3, odd 3"),
        (21, "full 20, late 3, ..."),
        (19, "full 20, ..."),
        (8, "..."),
    ],
)
def test_reasons_come_by_weight_and_end_where_the_room_does(room: int, shown: str) -> None:
    assert reasons({"odd": 3, "late": 3, "full": 20}, room) == shown


def test_no_reason_is_said_too() -> None:
    assert reasons({}, 80) == "none"


def test_a_part_of_nothing_is_nothing() -> None:
    assert (percent(0, 0), percent(1, 3)) == ("0.0%", "33.3%")

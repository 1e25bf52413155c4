"""The report of `admission status`, for answers that a live zone of a test does not give."""

from typing import Any

import pytest
from rich.console import Console

from admission.cli.status import render_overview

POOL: dict[str, Any] = {"pool": "channel:sip", "in_use": 7, "limit": 20, "room": 13}


def render(**pool: Any) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_overview([{"zone": "East", "pools": [POOL | pool]}]))
    return capture.get()


@pytest.mark.parametrize(
    ("learned", "shown"),
    [
        ({"in_force": True}, "learned ceiling 19 (in force)"),
        ({"in_force": False, "fallback": None}, "learned ceiling 19 (not in force)"),
        ({"in_force": False, "fallback": "stale"}, "learned ceiling 19 (stale)"),
        (
            {"in_force": False, "fallback": "distrusted", "doubts": ["cold", "restless"]},
            "learned ceiling 19 (cold, restless)",
        ),
    ],
)
def test_a_channel_shows_what_was_learned_and_whether_it_counts(
    learned: dict[str, Any], shown: str
) -> None:
    assert shown in render(learned={"ceiling": 19} | learned)


def test_a_channel_of_which_nothing_was_learned_says_so() -> None:
    assert "nothing learned yet" in render(learned={"in_force": False, "fallback": "cold"})
    assert "learn" not in render()

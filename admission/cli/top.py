"""`admission top`: zones live in the terminal; without one, a block of lines every time.

Exit codes: 0 ended by its user or after `--times`, 2 usage, 3 unreachable.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from admission.cli.api_client import Api, path_of
from admission.cli.common import command, talk
from admission.cli.top_table import Look, rates, top_lines
from admission.errors import Unavailable
from admission.terminal import canvas, is_terminal, plain

OK: Final = 0
EVERY_S: Final = 1.0
EVERY_S_MIN: Final = 0.2
MANY_ROWS: Final = 10_000
# A table that was shown stays, and says that it is old, while nobody answers.
PATIENCE_S: Final = 60.0


def add_top(commands: Any) -> None:
    """`admission top [ZONE]`."""
    parser = command(
        commands, "top", "zones live in the terminal: ports, rates, denies, sources", _top,
        "admission top", "admission top East --every 2",
        "admission top --json --times 1 | jq '.zones[].pools[] | select(.room == 0)'",
    )  # fmt: skip
    parser.add_argument("zone", nargs="?", help="one with all of its pools; without: every zone")
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="S", help="seconds (1)")
    parser.add_argument("--times", type=int, metavar="N", help="end after so many looks")


def _top(chosen: argparse.Namespace) -> int:
    if chosen.json or not is_terminal():
        talk(chosen, lambda api: _watch(api, chosen, _printing(chosen)))
        return OK
    # Ctrl-C is how it ends, and no failure.
    with suppress(KeyboardInterrupt), canvas() as drawn:

        def draw(look: Look) -> None:
            drawn.draw(top_lines(look, drawn.rows, drawn.paint))

        talk(chosen, lambda api: _watch(api, chosen, draw))
    return OK


def _printing(chosen: argparse.Namespace) -> Callable[[Look], None]:
    def lines(look: Look) -> None:
        text = "\n".join(top_lines(look, MANY_ROWS, plain))
        print(json.dumps({"zones": list(look.zones)}) if chosen.json else text + "\n", flush=True)

    return lines


async def _watch(api: Api, chosen: argparse.Namespace, show: Callable[[Look], None]) -> None:
    """Look again and again. Raises Unavailable when nobody answers (for a while)."""
    every_s, looks = max(EVERY_S_MIN, chosen.every), 0
    before: Look | None = None
    while True:
        before = await _look(api, chosen, before)
        try:
            show(before)
        except OSError:  # whoever watched is gone; Python must not try again at its exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        looks += 1
        if looks == chosen.times:
            return
        await asyncio.sleep(every_s)


async def _look(api: Api, chosen: argparse.Namespace, before: Look | None) -> Look:
    now = time.monotonic()
    try:
        zones = tuple(await _zones(api, chosen.zone))
    except Unavailable as fault:
        if before is None or now - before.at > PATIENCE_S:
            raise
        return before.aged(now, fault.detail)
    was = {} if before is None else {one["zone"]: one for one in before.zones}
    return Look(
        place=chosen.url,
        zones=zones,
        rates={one["zone"]: rates(was.get(one["zone"]), one) for one in zones},
        at=now,
        shown_at=now,
    )


async def _zones(api: Api, zone: str | None) -> list[dict[str, Any]]:
    if zone is not None:
        return [await api.call("GET", path_of(zone))]
    found = await api.call("GET", "/v1/zones")
    return list(found["zones"])


ADD_COMMANDS: Final = (add_top,)

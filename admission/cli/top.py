"""`admission top`: a live view of zones; in a pipe, a block of lines for each sample."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from admission.cli.common import (
    DEFAULT_URL,
    OK,
    OPERATIONS,
    TOKEN_ENV,
    Api,
    AsJson,
    Remote,
    TokenEnv,
    Url,
    command,
    zone_path,
)
from admission.errors import Unavailable

if TYPE_CHECKING:
    from admission.cli.top_table import Sample

app = typer.Typer()

INTERVAL_S: Final = 1.0
INTERVAL_S_MIN: Final = 0.2
PIPE_ROWS: Final = 10_000  # a pipe has no height
OUTAGE_S_MAX: Final = 60.0  # an old sample stays on the screen so long, marked as old


@command(
    app, "top", OPERATIONS,
    "admission top",
    "admission top East --interval 2",
    "admission top --json --iterations 1 | jq '.zones[].pools[] | select(.room == 0)'",
)  # fmt: skip
def top(
    zone: Annotated[
        str | None, typer.Argument(metavar="ZONE", help="All of its pools; else every zone.")
    ] = None,
    interval: Annotated[
        float, typer.Option(metavar="S", help="Seconds between two samples.")
    ] = INTERVAL_S,
    iterations: Annotated[
        int | None, typer.Option(metavar="N", help="End after N samples; else run until Ctrl-C.")
    ] = None,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Show zones live: ports, rates, denials, sources."""
    from rich.live import Live

    from admission.cli.output import has_live_display, open_console
    from admission.cli.top_table import render_top

    sampler = Sampler(zone, url, max(INTERVAL_S_MIN, interval), iterations)
    remote, console = Remote(url=url, token_env=token_env), open_console()
    if as_json or not has_live_display(console):
        remote.run(lambda api: sampler.run(api, _print_json if as_json else _print_lines))
        return OK
    # Ctrl-C is the regular end of the live view. The terminal may be gone when the view ends.
    with (
        suppress(KeyboardInterrupt, OSError),
        Live(
            console=console, screen=True, auto_refresh=False,
            redirect_stdout=False, redirect_stderr=False,
        ) as live,
    ):  # fmt: skip

        def draw(sample: "Sample") -> None:
            size = console.size
            live.update(render_top(sample, size.height, size.width), refresh=True)

        remote.run(lambda api: sampler.run(api, draw))
    return OK


class Sampler:
    """Reads the status of zones at an interval.

    Args:
        zone: its name; None: all zones.
        url: of the service, for display.
        interval_s: between two samples, in seconds.
        iterations: number of samples; None: without end.

    Example:
        `remote.run(lambda api: Sampler(None, url, 1.0, 10).run(api, print))`
    """

    def __init__(
        self, zone: str | None, url: str, interval_s: float, iterations: int | None
    ) -> None:
        self._zone = zone
        self._url = url
        self._interval_s = interval_s
        self._iterations = iterations

    async def run(self, api: Api, show: "Callable[[Sample], None]") -> None:
        """Pass each sample to `show`. Raises Unavailable after a long outage, or at the start."""
        sample, shown = None, 0
        while True:
            sample = await self._sample(api, sample)
            try:
                show(sample)
            except OSError:  # the reader closed the pipe: Python must not write again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return
            shown += 1
            if shown == self._iterations:
                return
            await asyncio.sleep(self._interval_s)

    async def _sample(self, api: Api, before: "Sample | None") -> "Sample":
        from admission.cli.top_table import Sample, compute_rates

        now = time.monotonic()
        try:
            zones = tuple(await self._fetch_zones(api))
        except Unavailable as fault:
            if before is None or now - before.taken_at > OUTAGE_S_MAX:
                raise
            return before.age(now, fault.detail)
        earlier = {} if before is None else {one["zone"]: one for one in before.zones}
        rates = {one["zone"]: compute_rates(earlier.get(one["zone"]), one) for one in zones}
        return Sample(url=self._url, zones=zones, rates=rates, taken_at=now, shown_at=now)

    async def _fetch_zones(self, api: Api) -> list[dict[str, Any]]:
        if self._zone is not None:
            return [await api.request("GET", zone_path(self._zone))]
        return list((await api.request("GET", "/v1/zones"))["zones"])


def _print_json(sample: "Sample") -> None:
    print(json.dumps({"zones": list(sample.zones)}), flush=True)


def _print_lines(sample: "Sample") -> None:
    from admission.cli.output import render_lines
    from admission.cli.top_table import render_top

    print("\n".join(render_lines(render_top(sample, PIPE_ROWS))) + "\n", flush=True)

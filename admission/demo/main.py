"""`admission demo`: five campaigns of greedy dialers against a simulated platform, as a live table.

`environment` starts the servers, `dialer` has the dialers' behaviour, `table` the text. With
`--unguarded` the same dialers, with the same seeds, on the same platform, poll QueryResources
themselves instead of asking a controller.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from admission.config import Settings
from admission.demo.calls import CallFeed
from admission.demo.dialer import CALLS_MAX, FLAWLESS, Dialer, DialerContext, DialerProfile
from admission.demo.environment import SEED, DemoEnvironment, open_environment, tune
from admission.demo.screen import Screen, has_live_table, open_screen
from admission.demo.stats import LastWarning, StatsCollector
from admission.demo.table import summarize
from admission.domain.policy.parts import ANY_CAMPAIGN
from admission.runtime.serve import stop_on_signals
from admission.tasks import cancel_and_wait

DIALERS_PER_ZONE: Final = 3  # of each campaign
SECONDS_MAX: Final = 7 * 24 * 3600.0
FOLDER_PREFIX: Final = "admission-demo-"

# The defects of some campaigns, and their names in the table.
PROFILES: Final[dict[str, tuple[DialerProfile, str]]] = {
    "reminders": (DialerProfile(ends_lost=0.15), "loses ends"),
    "winback": (DialerProfile(life_s=(8.0, 16.0)), "crashes"),
}


async def demo(
    environ: dict[str, str], *, unguarded: bool, seconds: float | None, as_json: bool = False
) -> None:
    """Run until Ctrl-C, SIGTERM, or so many seconds are over.

    Args:
        environ: overrides of the demo's settings.
        unguarded: without a controller; the dialers poll the platform themselves.
        seconds: the duration; None: no limit.
        as_json: print the totals as JSON at the end, and nothing else.

    Raises:
        ConfigError: an override is invalid, no Redis server is installed, or the port is in use.
    """
    stop, warnings = asyncio.Event(), LastWarning()
    _log_to(warnings)
    with _stop_by_signals(stop), _make_private_folder() as folder:
        settings = tune(environ, folder)
        calls_max = (
            len(settings.zones) * len(list_campaigns(settings)) * DIALERS_PER_ZONE * CALLS_MAX
        )
        with open_screen(silent=as_json) as screen:
            async with open_environment(settings, unguarded=unguarded, calls_max=calls_max) as env:
                feed = CallFeed(env.http, env.platform_url)
                stats = _create_collector(env, warnings)
                await _run(_create_dialers(env, feed), feed, stats, screen, stop, seconds)
                last = await stats.read()
    _print([json.dumps(asdict(last), indent=2)] if as_json else summarize(last))


async def _run(
    dialers: list[Dialer],
    feed: CallFeed,
    stats: StatsCollector,
    screen: Screen,
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    """Run dialers, feed and screen until the stop event or the limit."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.run(), name=one.name) for one in dialers]
        tasks.append(group.create_task(feed.read(), name="feed"))
        tasks.append(group.create_task(_show(stats, screen, stop), name="screen"))
        with suppress(TimeoutError):
            async with asyncio.timeout(_bound_s(seconds)):
                await stop.wait()
        await cancel_and_wait(*tasks)


async def _show(stats: StatsCollector, screen: Screen, stop: asyncio.Event) -> None:
    while True:
        numbers = await stats.read()
        try:
            screen.show(numbers)
        except OSError:  # the terminal or the pipe is closed
            stop.set()
            return
        await asyncio.sleep(screen.interval_s)


def _create_dialers(env: DemoEnvironment, feed: CallFeed) -> list[Dialer]:
    """Create all dialers. Of a crashing campaign, one dialer in each zone crashes."""
    context = DialerContext(
        launch_policy=env.launch_policy,
        launcher=env.launcher,
        feed=feed,
        stopwatch=env.stopwatch,
    )
    return [
        Dialer(
            f"{campaign}-{zone}-{n}",
            zone=zone,
            campaign=campaign,
            context=context,
            profile=_choose_profile(campaign, n),
            seed=SEED,
        )
        for n in range(1, DIALERS_PER_ZONE + 1)
        for zone in env.settings.zones
        for campaign in list_campaigns(env.settings)
    ]


def _choose_profile(campaign: str, n: int) -> DialerProfile:
    profile = PROFILES.get(campaign, (FLAWLESS, ""))[0]
    return FLAWLESS if profile.life_s and n > 1 else profile


def list_campaigns(settings: Settings) -> list[str]:
    """Return the campaigns that the zones name, in the order of the file."""
    named = (name for zone in settings.zones.values() for name in zone.campaigns)
    return [name for name in dict.fromkeys(named) if name != ANY_CAMPAIGN]


def _create_collector(env: DemoEnvironment, warnings: LastWarning) -> StatsCollector:
    return StatsCollector(
        env.http,
        platform_url=env.platform_url,
        service_url=env.service_url,
        zones=tuple(env.settings.zones),
        campaigns={
            name: PROFILES.get(name, (FLAWLESS, ""))[1] for name in list_campaigns(env.settings)
        },
        decisions=env.decisions,
        polling=env.polling,
        stopwatch=env.stopwatch,
        warnings=warnings,
    )


def _bound_s(seconds: float | None) -> float | None:
    return None if seconds is None else min(max(0.0, seconds), SECONDS_MAX)


@contextmanager
def _stop_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set the event on SIGINT, SIGTERM and SIGHUP, so that the Redis process is ended too."""
    loop = asyncio.get_running_loop()
    with stop_on_signals(stop):
        loop.add_signal_handler(signal.SIGHUP, stop.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


@contextmanager
def _make_private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
        yield Path(folder)


def _log_to(warnings: LastWarning) -> None:
    """Log to the note of the table; without a live table also to standard error."""
    handlers: list[logging.Handler] = [warnings]
    if not has_live_table():
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)


def _print(lines: list[str]) -> None:
    """Print lines. If the pipe is closed, Python must not write to it again at exit."""
    try:
        print("\n".join(lines), flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

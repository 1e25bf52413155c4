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

from admission.config.settings import Settings
from admission.demo.calls import CallFeed
from admission.demo.dialer import CALLS_MAX, FLAWLESS, Dialer, DialerContext, DialerProfile
from admission.demo.environment import SEED, DemoEnvironment, open_environment, tuned
from admission.demo.screen import Screen, screen
from admission.demo.stats import LastWarning, StatsCollector
from admission.demo.table import summary
from admission.domain.policy.parts import ANY_CAMPAIGN
from admission.runtime.serve import stop_on_signals
from admission.tasks import cancel_and_wait
from admission.terminal import is_terminal

DIALERS_PER_ZONE: Final = 3  # of each campaign
SECONDS_MAX: Final = 7 * 24 * 3600.0
FOLDER_PREFIX: Final = "admission-demo-"

# What is wrong with some campaigns, and how the table says it.
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
        unguarded: no controller; the dialers look for themselves.
        seconds: None: no end.
        as_json: show nothing but the totals, at the end, for programs.

    Raises:
        ConfigError: an override is wrong, no Redis server is installed, or the port is taken.
    """
    stop, warnings = asyncio.Event(), LastWarning()
    _log_to(warnings)
    with _told_to_stop(stop), _private_folder() as folder:
        settings = tuned(environ, folder)
        calls_max = len(settings.zones) * len(campaigns_of(settings)) * DIALERS_PER_ZONE * CALLS_MAX
        with screen(silent=as_json) as shown:
            async with open_environment(settings, unguarded=unguarded, calls_max=calls_max) as env:
                feed = CallFeed(env.http, env.platform_url)
                stats = _collector(env, warnings)
                await _run(_dialers(env, feed), feed, stats, shown, stop, seconds)
                last = await stats.read()
    _say([json.dumps(asdict(last), indent=2)] if as_json else summary(last))


async def _run(
    dialers: list[Dialer],
    feed: CallFeed,
    stats: StatsCollector,
    shown: Screen,
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    """Let everybody work until it is time to stop."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.run(), name=one.name) for one in dialers]
        tasks.append(group.create_task(feed.read(), name="feed"))
        tasks.append(group.create_task(_show(stats, shown, stop), name="screen"))
        with suppress(TimeoutError):
            async with asyncio.timeout(_limit_s(seconds)):
                await stop.wait()
        await cancel_and_wait(*tasks)


async def _show(stats: StatsCollector, shown: Screen, stop: asyncio.Event) -> None:
    while True:
        numbers = await stats.read()
        try:
            shown.show(numbers)
        except OSError:  # whoever watched is gone
            stop.set()
            return
        await asyncio.sleep(shown.every_s)


def _dialers(env: DemoEnvironment, feed: CallFeed) -> list[Dialer]:
    """All of them; in each zone only the first of a crashing campaign's dialers crashes."""
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
            profile=_profile(campaign, n),
            seed=SEED,
        )
        for n in range(1, DIALERS_PER_ZONE + 1)
        for zone in env.settings.zones
        for campaign in campaigns_of(env.settings)
    ]


def _profile(campaign: str, n: int) -> DialerProfile:
    profile = PROFILES.get(campaign, (FLAWLESS, ""))[0]
    return FLAWLESS if profile.life_s and n > 1 else profile


def campaigns_of(settings: Settings) -> list[str]:
    """The campaigns that any zone names, in the order of the file."""
    named = (name for zone in settings.zones.values() for name in zone.campaigns)
    return [name for name in dict.fromkeys(named) if name != ANY_CAMPAIGN]


def _collector(env: DemoEnvironment, warnings: LastWarning) -> StatsCollector:
    return StatsCollector(
        env.http,
        platform_url=env.platform_url,
        service_url=env.service_url,
        zones=tuple(env.settings.zones),
        campaigns={
            name: PROFILES.get(name, (FLAWLESS, ""))[1] for name in campaigns_of(env.settings)
        },
        decisions=env.decisions,
        looks=env.looks,
        stopwatch=env.stopwatch,
        warnings=warnings,
    )


def _limit_s(seconds: float | None) -> float | None:
    return None if seconds is None else min(max(0.0, seconds), SECONDS_MAX)


@contextmanager
def _told_to_stop(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C, SIGTERM, or the window was closed: else the Redis process would be left behind."""
    loop = asyncio.get_running_loop()
    with stop_on_signals(stop):
        loop.add_signal_handler(signal.SIGHUP, stop.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


@contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
        yield Path(folder)


def _log_to(warnings: LastWarning) -> None:
    """A table has a line for the newest warning; without a table they go to standard error."""
    handlers: list[logging.Handler] = [warnings]
    if not is_terminal():
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)


def _say(lines: list[str]) -> None:
    """Print, unless nobody listens any more; then Python must not try again at its exit."""
    try:
        print("\n".join(lines), flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""`admission measure`: test calls on a real platform, and the times to configure for it.

Exit codes: 0 measured, 1 nothing could be measured, 2 usage, 3 the platform is unreachable.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from admission.cli.common import add_command
from admission.cli.measure.advice import Advice, advise
from admission.cli.measure.calls import Bench, Plan
from admission.cli.measure.report import advice_lines, call_line, command_line, plot_lines
from admission.cli.measure.trace import CallTimes, Disturbed, times_of
from admission.client.portal.launch_fields import LaunchOptions
from admission.config.load import load_settings
from admission.config.settings import Settings
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.errors import AdmissionError, ConfigError, SourceError, Unavailable

OK: Final = 0
CALLS_MAX: Final = 1000
FAILURES_MAX: Final = 3  # one after the other: then it is no bad luck
CONFIG_ENV, CONFIG_FILE = "ADMISSION_CONFIG", "admission.toml"


class NothingMeasured(AdmissionError):
    """No call proved anything."""


def add_measure(commands: Any) -> None:
    """`admission measure ZONE`."""
    text = "place test calls on Experience Portal and print the times to configure"
    parser = add_command(
        commands, "measure", text,
        "admission measure East --application collections-ivr --to sip:test@example.com",
        "admission measure East --application outcall --to tel:+15550100 --calls 30 "
        "--hangup-event test.hangup --plot",
    )  # fmt: skip
    where = f"has the zone and its source (else {CONFIG_ENV}, else {CONFIG_FILE})"
    event = "a CCXML event on which the page ends its call"
    add = parser.add_argument
    add("zone")
    add("--application", required=True, help="launched for each call")
    add("--to", required=True, help="called each time: tel:, sip: or sips:")
    add("--calls", type=int, default=10, metavar="N", help="test calls (10)")
    add("--config", type=Path, metavar="FILE", help=where)
    add("--channel", help="whose ports are taken; else the zone's first, or sip")
    add("--vxml", action="store_true", help="LaunchVXML instead of LaunchCCXML")
    add("--hangup-event", default="", metavar="NAME", help=event)
    add("--ring-s", type=int, default=60, metavar="S", help="launch time-out (60)")
    add("--look-ms", type=int, default=50, metavar="MS", help="between two QueryResources (50)")
    add("--quiet-s", type=float, default=1.0, metavar="S", help="what is unchanged so long (1)")
    add("--plot", action="store_true", help="draw how the times are spread")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_measure)


def _measure(chosen: argparse.Namespace) -> int:
    path = chosen.config or Path(os.environ.get(CONFIG_ENV) or CONFIG_FILE)
    settings = load_settings(path, os.environ)
    source, plan = source_of(settings, chosen.zone), _plan(settings, chosen)
    try:
        bench = Bench(source, plan)
    except ValueError as fault:
        raise ConfigError(str(fault)) from None
    times = asyncio.run(_calls(bench, min(chosen.calls, CALLS_MAX)))
    if not times:
        raise NothingMeasured("no call could be measured")
    _print(chosen, advise(times), settings)
    return OK


def source_of(settings: Settings, zone: str) -> ExperiencePortalSettings:
    """The platform of a zone.

    Raises:
        ConfigError: it has none that test calls can be placed on.
    """
    if zone not in settings.zones:
        known = ", ".join(settings.zones)
        raise ConfigError(f"there is no zone {zone} in the configuration: it has {known}")
    sources: Mapping[str, Any] = settings.sources
    for name in settings.zones[zone].source_names:
        found = sources.get(name)
        if isinstance(found, ExperiencePortalSettings):
            return found
    raise ConfigError(f"zone {zone} has no source of type experience_portal")


def _plan(settings: Settings, chosen: argparse.Namespace) -> Plan:
    policy = settings.zones[chosen.zone]
    is_sip = chosen.to.startswith(("sip:", "sips:"))
    options: LaunchOptions = {"timeout_s": chosen.ring_s}
    return Plan(
        zone=policy.source_zone or "",
        channel=chosen.channel or ("sip" if is_sip else policy.channels[0]),
        operation="LaunchVXML" if chosen.vxml else "LaunchCCXML",
        to=chosen.to,
        application=chosen.application,
        options=options,
        hangup_event=chosen.hangup_event,
        look_ms=chosen.look_ms,
        quiet_s=chosen.quiet_s,
    )


async def _calls(bench: Bench, calls: int) -> list[CallTimes]:
    """One after the other, until enough are measured or too many fail on end."""
    times: list[CallTimes] = []
    failures = 0
    try:
        await _reach(bench)
        for n in range(1, calls + 1):
            found = await _call(bench, f"call {n} of {calls}")
            failures = 0 if found else failures + 1
            times += [found] if found else []
            if failures == FAILURES_MAX:
                break
    finally:
        await bench.close()
    return times


async def _reach(bench: Bench) -> None:
    """Raises Unavailable when the platform does not even answer a look."""
    try:
        await bench.look()
    except SourceError as fault:
        raise Unavailable(fault.detail) from None


async def _call(bench: Bench, which: str) -> CallTimes | None:
    """What a call proved; None: nothing, and why was said."""
    try:
        found = times_of(await bench.call())
    except (Disturbed, SourceError) as fault:
        _progress(f"{which}: left out: {fault}")
        return None
    _progress(f"{which}: {call_line(found)}")
    return found


def _progress(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _print(chosen: argparse.Namespace, advice: Advice, settings: Settings) -> None:
    known = chosen.application in settings.zones[chosen.zone].applications
    command = command_line(advice, chosen.zone, chosen.application if known else None)
    if chosen.json:
        print(json.dumps(_fields(advice) | {"command": command}, indent=2))
        return
    lines = [*advice_lines(advice), *(plot_lines(advice) if chosen.plot else ())]
    print("\n".join([*lines, "", "To make it live:", f"  {command}"]))


def _fields(advice: Advice) -> dict[str, Any]:
    return {
        "claim_within_ms": advice.claim_within_ms,
        "visibility_lag_ms": advice.visibility_lag_ms,
        "release_within_ms": advice.release_within_ms,
        "claim": advice.claim.fields(),
        "lag": advice.lag.fields(),
        "release": advice.release.fields() if advice.release else None,
    }


ADD_COMMANDS: Final = (add_measure,)

"""`admission measure`: test calls on a real platform, and the times to configure for it.

Exit code 3 means here that the platform is unreachable.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from admission.cli.common import (
    DEFAULT_URL,
    OK,
    PLATFORMS,
    TOKEN_ENV,
    AsJson,
    Remote,
    TokenEnv,
    Url,
    command,
    show,
    zone_path,
)
from admission.domain.visible_text import make_visible
from admission.errors import AdmissionError, ConfigError, SourceError, Unavailable

if TYPE_CHECKING:
    from admission.cli.measure.advice import Advice
    from admission.cli.measure.calls import CallRunner, Plan
    from admission.cli.measure.trace import CallTimes
    from admission.config import Settings
    from admission.config.sources.experience_portal import ExperiencePortalSettings

app = typer.Typer()

CALLS_MAX: Final = 1000
FAILURES_MAX: Final = 3  # in a row: then the next call would fail too
CONFIG_ENV, CONFIG_FILE = "ADMISSION_CONFIG", "admission.toml"


def _option(name: str, metavar: str | None, text: str, section: str = "Calls") -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=section)


Application: TypeAlias = Annotated[str, _option("--application", "NAME", "Launched for each call.")]
To: TypeAlias = Annotated[str, _option("--to", "URI", "Called each time: tel:, sip: or sips:.")]
Calls: TypeAlias = Annotated[int, _option("--calls", "N", "Number of test calls.")]
Channel: TypeAlias = Annotated[
    str | None,
    _option("--channel", "CHANNEL", "The channel of the calls; else the zone's first, or sip."),
]
Vxml: TypeAlias = Annotated[bool, _option("--vxml", None, "LaunchVXML instead of LaunchCCXML.")]
HangupEvent: TypeAlias = Annotated[
    str, _option("--hangup-event", "NAME", "The CCXML event on which the page ends its call.")
]
LaunchTimeout: TypeAlias = Annotated[
    int, _option("--launch-timeout-s", "S", "Time-out of a launch.")
]
PollInterval: TypeAlias = Annotated[
    int, _option("--poll-interval-ms", "MS", "Between two QueryResources.", "Observation")
]
Settle: TypeAlias = Annotated[
    float,
    _option(
        "--settle-s", "S", "A count is final when it has not changed for S seconds.", "Observation"
    ),
]
Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"Configures the zone and its source; else {CONFIG_ENV}, else {CONFIG_FILE}.",
    ),
]


class NothingMeasured(AdmissionError):
    """No test call was conclusive."""


@command(
    app, "measure", PLATFORMS,
    "admission measure East --application collections-ivr --to sip:test@example.com",
    "admission measure East --application outcall --to tel:+15550100 --calls 30 "
    "--hangup-event test.hangup --plot",
)  # fmt: skip
def measure(
    zone: Annotated[str, typer.Argument(metavar="ZONE", help="The zone.")],
    application: Application,
    to: To,
    calls: Calls = 10,
    config: Config = None,
    channel: Channel = None,
    vxml: Vxml = False,
    hangup_event: HangupEvent = "",
    launch_timeout_s: LaunchTimeout = 60,
    poll_interval_ms: PollInterval = 50,
    settle_s: Settle = 1.0,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the distribution of each time.")
    ] = False,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Place test calls on Experience Portal and print the times to configure.

    If the service answers, it prints what the service has learned of the channel beside them.
    """
    from admission.cli.measure.calls import Plan
    from admission.cli.measure.report import format_command, render_advice
    from admission.config.load import load_settings

    settings = load_settings(config or Path(os.environ.get(CONFIG_ENV) or CONFIG_FILE), os.environ)
    source, policy = find_source(settings, zone), settings.zones[zone]
    is_sip = to.startswith(("sip:", "sips:"))
    plan = Plan(
        zone=policy.source_zone or "",
        channel=channel or ("sip" if is_sip else policy.channels[0]),
        operation="LaunchVXML" if vxml else "LaunchCCXML",
        to=to,
        application=application,
        options={"timeout_s": launch_timeout_s},
        hangup_event=hangup_event,
        poll_interval_ms=poll_interval_ms,
        settle_s=settle_s,
    )
    advice = _measure(source, plan, min(calls, CALLS_MAX))
    line = format_command(advice, zone, application if application in policy.applications else None)
    learned = find_learned(Remote(url=url, token_env=token_env), zone, plan.channel)
    response = advice.fields() | {"command": line, "learned": learned}
    show(
        response,
        lambda shown: render_advice(advice, line, plot=plot, learned=shown["learned"]),
        as_json=as_json,
    )
    return OK


def find_learned(remote: Remote, zone: str, channel: str) -> dict[str, Any] | None:
    """Return what the service has learned of a channel; None: nothing, and it prints the reason."""
    try:
        status = remote.request("GET", zone_path(zone))
    except AdmissionError as fault:
        _print_progress(f"what the service has learned is not known: {fault}")
        return None
    for pool in status.get("pools") or ():
        learned = pool.get("learned") or {}
        is_known = pool.get("pool") == f"channel:{channel}" and learned.get("claim_median_ms")
        if is_known:
            return dict(learned)
    _print_progress(f"the service has learned nothing of channel {channel} yet")
    return None


def find_source(settings: "Settings", zone: str) -> "ExperiencePortalSettings":
    """Return the source of a zone on which test calls can be placed.

    Raises:
        ConfigError: there is no such zone, or it has no such source.
    """
    from admission.config.sources.experience_portal import ExperiencePortalSettings

    if zone not in settings.zones:
        known = ", ".join(settings.zones)
        raise ConfigError(f"there is no zone {zone} in the configuration: it has {known}")
    for name in settings.zones[zone].source_names:
        source = settings.sources.get(name)
        if isinstance(source, ExperiencePortalSettings):
            return source
    raise ConfigError(f"zone {zone} has no source of type experience_portal")


def _measure(source: "ExperiencePortalSettings", plan: "Plan", calls: int) -> "Advice":
    """Place the calls. Raises `NothingMeasured`, or `ConfigError` if no call can be placed."""
    import asyncio

    from admission.cli.measure.advice import advise
    from admission.cli.measure.calls import CallRunner

    try:
        runner = CallRunner(source, plan)
    except ValueError as fault:
        raise ConfigError(str(fault)) from None
    times = asyncio.run(_place_calls(runner, calls))
    if not times:
        raise NothingMeasured("no call could be measured")
    return advise(times)


async def _place_calls(runner: "CallRunner", calls: int) -> "list[CallTimes]":
    """Place calls one after the other, until too many in a row have failed."""
    times: list[CallTimes] = []
    failures = 0
    try:
        await _check_reachable(runner)
        for n in range(1, calls + 1):
            measured = await _measure_call(runner, f"call {n} of {calls}")
            failures = 0 if measured else failures + 1
            times += [measured] if measured else []
            if failures == FAILURES_MAX:
                break
    finally:
        await runner.close()
    return times


async def _check_reachable(runner: "CallRunner") -> None:
    """Raise Unavailable if the platform does not answer a query."""
    try:
        await runner.query_unused()
    except SourceError as fault:
        raise Unavailable(fault.detail) from None


async def _measure_call(runner: "CallRunner", title: str) -> "CallTimes | None":
    """Return what a call proved; None: nothing, and the reason was printed."""
    from admission.cli.measure.report import describe_call
    from admission.cli.measure.trace import InconclusiveCall, derive_times

    try:
        times = derive_times(await runner.place_call())
    except (InconclusiveCall, SourceError) as fault:
        _print_progress(f"{title}: left out: {fault}")
        return None
    _print_progress(f"{title}: {describe_call(times)}")
    return times


def _print_progress(line: str) -> None:
    print(make_visible(line), file=sys.stderr, flush=True)

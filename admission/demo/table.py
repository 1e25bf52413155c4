"""The numbers of the demo, as a table, as a line and as a summary. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BAR_WIDTH: Final = 16
LEGEND: Final = "An over-launch is a launch that found no free port, counted by the simulator."


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneNumbers:
    """One zone at one moment. None: not known (yet), or not counted without a controller.

    Args:
        ports, used, inbound: counted by the simulator; `inbound` calls use some of the used ports.
        unused, age_ms: the last snapshot of the platform, by channel, and its age.
        in_use, ceiling: of the channel pools of the ledger.
        recovering: the ledger observes the zone before it grants.
        denies: reason -> count.
        launches, over_launches: counted by the simulator.
        filled: used ports ÷ available ports, on average since the warm-up.

    Example:
        `ZoneNumbers(name="East", ports=240, used=229)`
    """

    name: str
    ports: int = 0
    used: int = 0
    inbound: int = 0
    unused: Mapping[str, int] | None = None
    age_ms: int | None = None
    in_use: int | None = None
    ceiling: int | None = None
    recovering: bool = False
    grants: int = 0
    denies: Mapping[str, int] = field(default_factory=dict)
    launches: int = 0
    over_launches: int = 0
    filled: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignNumbers:
    """One campaign in all zones.

    Args:
        calls: that are up, counted by the simulator.
        defect: the defect of its dialers; empty: none.

    Example:
        `CampaignNumbers(name="sales", calls=50)`
    """

    name: str
    in_use: int | None = None
    calls: int = 0
    grants: int = 0
    denies: int = 0
    launches: int = 0
    over_launches: int = 0
    defect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """All numbers of one moment.

    Args:
        url: of the controller; empty: there is none.
        seconds: since the dialers began.
        callers, turned_away: inbound calls so far, and those that found no port.
        note: the last warning; empty: none.

    Example:
        `Numbers(url="", seconds=0.0, zones=(), campaigns=())`
    """

    url: str
    seconds: float
    zones: tuple[ZoneNumbers, ...]
    campaigns: tuple[CampaignNumbers, ...]
    callers: int = 0
    turned_away: int = 0
    note: str = ""


def render_table(numbers: Numbers) -> RenderableType:
    """Return the table of all zones and campaigns: 80 columns, 24 rows for two zones."""
    return Group(
        _describe_run(numbers),
        Text(),
        _tabulate_ports(numbers.zones),
        *(_describe_snapshot(zone) for zone in numbers.zones),
        Text(),
        _tabulate_launches(numbers.zones),
        *(_cut(Text(line)) for line in _describe_denials(numbers.zones)),
        Text(),
        _tabulate_campaigns(numbers.campaigns),
        Text(),
        _cut(Text(numbers.note or LEGEND, style="dim")),
    )


def format_line(numbers: Numbers) -> str:
    """Return the numbers of all zones in one line, for pipes and logs."""
    zones = " | ".join(
        f"{one.name} {one.used}/{one.ports} used, {one.launches} launches, {one.over_launches} over"
        for one in numbers.zones
    )
    return f"{numbers.seconds:5.1f} s  {zones}"


def summarize(numbers: Numbers) -> list[str]:
    """Return the totals as lines."""
    launches = sum(zone.launches for zone in numbers.zones)
    over = sum(zone.over_launches for zone in numbers.zones)
    mode = "guarded by the controller" if numbers.url else "unguarded"
    return [
        f"{mode}, {numbers.seconds:.0f} s: {launches} launches, {over} over-launches "
        f"({format_percent(over, launches)})",
        *(_summarize_zone(zone) for zone in numbers.zones),
        *(f"  {line}" for line in _describe_denials(numbers.zones)),
        f"  inbound callers who found no port: {numbers.turned_away} of {numbers.callers} "
        f"({format_percent(numbers.turned_away, numbers.callers)})",
    ]


def format_percent(part: int, whole: int) -> str:
    """Return a share, such as `0.3%`."""
    return f"{100 * part / max(1, whole):.1f}%"


def format_reasons(denies: Mapping[str, int]) -> str:
    """Return the reasons of denials, the most frequent first."""
    ranked = sorted(denies.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ranked) or "none"


def _describe_run(numbers: Numbers) -> Text:
    mode = f"guarded by {numbers.url}" if numbers.url else "UNGUARDED: no controller"
    minutes, seconds = divmod(int(numbers.seconds), 60)
    text = Text(f"admission demo, {mode}", style="bold")
    return _cut(text.append(f"  {minutes}:{seconds:02}  (Ctrl-C ends it)", style="not bold"))


def _tabulate_ports(zones: Iterable[ZoneNumbers]) -> Table:
    table = _make_table("ZONE", "ports", "used", "inbound", "utilisation", "", "in use / ceiling")
    for one in zones:
        bar = ProgressBar(total=max(1, one.ports), completed=one.used, width=BAR_WIDTH)
        share = f"{100 * one.used // max(1, one.ports)}%"
        numbers = (str(number) for number in (one.ports, one.used, one.inbound))
        table.add_row(one.name, *numbers, share, bar, _describe_ledger(one))
    return table


def _describe_ledger(one: ZoneNumbers) -> str:
    if one.recovering:
        return "recovering"
    return f"{_format_value(one.in_use)} / {_format_value(one.ceiling)}"


def _describe_snapshot(one: ZoneNumbers) -> Text:
    if one.unused is None or one.age_ms is None:
        return _cut(Text(f"{one.name}: no snapshot of the platform yet"))
    unused = ", ".join(f"{ports} {channel}" for channel, ports in one.unused.items())
    age_s = one.age_ms / 1000
    return _cut(Text(f"{one.name}: snapshot {age_s:.1f} s ago: {unused} unused"))


def _tabulate_launches(zones: Iterable[ZoneNumbers]) -> Table:
    table = _make_table("ZONE", "grants", "denies", "launches", "over-launches")
    for one in zones:
        decisions = (str(one.grants), str(sum(one.denies.values())))
        table.add_row(one.name, *decisions, *_format_launches(one.launches, one.over_launches))
    return table


def _tabulate_campaigns(campaigns: Iterable[CampaignNumbers]) -> Table:
    table = _make_table(
        "CAMPAIGN", "in use", "calls", "grants", "denies", "launches", "over-launches", ""
    )
    table.columns[-1].justify = "left"
    for one in campaigns:
        table.add_row(
            one.name,
            _format_value(one.in_use),
            *(str(number) for number in (one.calls, one.grants, one.denies)),
            *_format_launches(one.launches, one.over_launches),
            Text(one.defect, style="dim"),
        )
    return table


def _format_launches(launches: int, over: int) -> tuple[str, Text]:
    """Return the launches, and the over-launches with their share."""
    style = "bold red" if over else "green"
    return str(launches), Text(f"{over} {format_percent(over, launches):>6}", style=style)


def _make_table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=11)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    return table


def _cut(text: Text) -> Text:
    """Cut a line at the edge of the terminal instead of wrapping it."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _format_value(value: int | None) -> str:
    return "-" if value is None else str(value)


def _summarize_zone(zone: ZoneNumbers) -> str:
    share = format_percent(zone.over_launches, zone.launches)
    filled = "" if zone.filled is None else f", {100 * zone.filled:.1f}% of the ports in use"
    return (
        f"  {zone.name}: {zone.launches} launches, {zone.over_launches} over-launches "
        f"({share}){filled}"
    )


def _describe_denials(zones: Iterable[ZoneNumbers]) -> Iterator[str]:
    for zone in zones:
        yield f"{zone.name} denied: {format_reasons(zone.denies)}"

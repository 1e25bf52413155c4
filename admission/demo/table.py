"""The demo's numbers as text: pure, from a frozen moment to lines of at most 79 columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from admission.terminal import Paint, bar, plain

# One less than the terminal: where a line ends in the last column, clearing to its end clears that.
WIDTH: Final = 79
LEGEND: Final = "An over-launch is a launch that found no free port: the simulator's own count."


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneNumbers:
    """One zone at one moment. None: nobody knows, or nobody does that here.

    Args:
        ports, used, inbound: the platform's truth; `inbound` of the used are other people's.
        unused, age_ms: what the platform said last, by channel, and how long ago.
        in_use, ceiling: of the ledger's channel pools.
        recovering: the ledger watches before it grants.
        denies: reason -> how many.
        launches, over_launches: the platform's truth.
        filled: ports used ÷ ports there were, on average since the warm-up.
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
    """One campaign over all zones. `calls`: up, in truth; `habit`: what is wrong with it."""

    name: str
    in_use: int | None = None
    calls: int = 0
    grants: int = 0
    denies: int = 0
    launches: int = 0
    over_launches: int = 0
    habit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Everything that is shown.

    Args:
        place: URL of the controller; empty: there is none.
        seconds: since the dialers began.
        callers, turned_away: inbound calls so far, and those that found no port.
        note: the last warning, if any.
    """

    place: str
    seconds: float
    zones: tuple[ZoneNumbers, ...]
    campaigns: tuple[CampaignNumbers, ...]
    callers: int = 0
    turned_away: int = 0
    note: str = ""


def table(numbers: Numbers, paint: Paint = plain) -> list[str]:
    """The whole screen: at most 24 lines for two zones and five campaigns."""
    return [
        *_title(numbers, paint),
        "",
        *_ports(numbers, paint),
        "",
        *_launches(numbers, paint),
        "",
        *_campaigns(numbers, paint),
        "",
        paint("dim", (numbers.note or LEGEND)[:WIDTH]),
    ]


def one_line(numbers: Numbers) -> str:
    """The same in one line, for logs."""
    zones = " | ".join(
        f"{one.name} {one.used}/{one.ports} used, {one.launches} launches, {one.over_launches} over"
        for one in numbers.zones
    )
    return f"{numbers.seconds:5.1f} s  {zones}"


def summary(numbers: Numbers) -> list[str]:
    """The totals, at the end."""
    launches, over = _total(numbers.zones)
    how = "guarded by the controller" if numbers.place else "unguarded"
    return [
        f"{how}, {numbers.seconds:.0f} s: {launches} launches, {over} over-launches "
        f"({percent(over, launches)})",
        *(_zone_summary(zone) for zone in numbers.zones),
        *(f"  {line}" for line in _denied(numbers.zones)),
        f"  inbound callers who found no port: {numbers.turned_away} of {numbers.callers} "
        f"({percent(numbers.turned_away, numbers.callers)})",
    ]


def percent(part: int, whole: int) -> str:
    """Such as `0.3%`."""
    return f"{100 * part / max(1, whole):.1f}%"


def reasons(denies: Mapping[str, int], room: int) -> str:
    """The reasons by weight, as many as there is room for."""
    ranked = sorted(denies.items(), key=lambda one: (-one[1], one[0]))
    text = ""
    for reason, count in ranked:
        longer = f"{text}, {reason} {count}" if text else f"{reason} {count}"
        if len(longer) > room - (0 if reason == ranked[-1][0] else 5):
            return f"{text}, ..." if text else "..."
        text = longer
    return text or "none"


def _title(numbers: Numbers, paint: Paint) -> list[str]:
    how = f"guarded by {numbers.place}" if numbers.place else "UNGUARDED: nobody is asked"
    minutes, seconds = divmod(int(numbers.seconds), 60)
    clock = f"{minutes}:{seconds:02}  Ctrl-C ends it"
    left = f"admission demo, {how}"
    return [paint("head", f"{left:<{WIDTH - len(clock)}}"[: WIDTH - len(clock)]) + clock]


def _ports(numbers: Numbers, paint: Paint) -> Iterable[str]:
    head = f"{'ZONE':<9} {'ports':>5} {'used':>5} {'inbound':>7}  {'utilisation':<27}"
    yield paint("head", f"{head} {'our use / ceiling':>20}")
    for one in numbers.zones:
        used = f"{bar(one.used, one.ports)} {100 * one.used // max(1, one.ports):>3}%"
        left = f"{one.name[:9]:<9} {one.ports:>5} {one.used:>5} {one.inbound:>7}  {used}"
        yield f"{left} {_held(one):>20}"
    for one in numbers.zones:
        yield f"{one.name[:9]:<9} {_said(one)}"


def _held(one: ZoneNumbers) -> str:
    if one.recovering:
        return "recovering"
    return f"{_known(one.in_use)} / {_known(one.ceiling)}"


def _said(one: ZoneNumbers) -> str:
    if one.unused is None or one.age_ms is None:
        return "the platform has not been asked yet"
    unused = ", ".join(f"{ports} {channel}" for channel, ports in one.unused.items())
    return f"unused, as the platform said {one.age_ms / 1000:.1f} s ago: {unused}"


def _launches(numbers: Numbers, paint: Paint) -> Iterable[str]:
    head = f"{'ZONE':<9} {'grants':>7} {'denies':>7} {'launches':>9} {'over-launches':>14}"
    yield paint("head", head)
    for one in numbers.zones:
        counts = f"{one.grants:>7} {sum(one.denies.values()):>7}"
        yield f"{one.name[:9]:<9} {counts} {_lost(one.launches, one.over_launches, paint)}"
    yield from _denied(numbers.zones)


def _campaigns(numbers: Numbers, paint: Paint) -> Iterable[str]:
    head = f"{'CAMPAIGN':<11} {'in use':>6} {'calls up':>8} {'grants':>7} {'denies':>7}"
    yield paint("head", f"{head} {'launches':>9} {'over-launches':>14}")
    for one in numbers.campaigns:
        left = f"{one.name[:11]:<11} {_known(one.in_use):>6} {one.calls:>8}"
        counts = f"{one.grants:>7} {one.denies:>7}"
        lost = _lost(one.launches, one.over_launches, paint)
        yield f"{left} {counts} {lost} {paint('dim', one.habit[:10])}".rstrip()


def _lost(launches: int, over: int, paint: Paint) -> str:
    """Launches, over-launches, and which part of them that is."""
    text = f"{over:>7} {percent(over, launches):>6}"
    return f"{launches:>9} {paint('bad' if over else 'good', text)}"


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def _total(zones: Iterable[ZoneNumbers]) -> tuple[int, int]:
    counts = [(zone.launches, zone.over_launches) for zone in zones]
    return sum(one for one, _ in counts), sum(over for _, over in counts)


def _zone_summary(zone: ZoneNumbers) -> str:
    lost = f"{zone.over_launches} over-launches ({percent(zone.over_launches, zone.launches)})"
    filled = "" if zone.filled is None else f", {100 * zone.filled:.1f}% of the ports in use"
    return f"  {zone.name}: {zone.launches} launches, {lost}{filled}"


def _denied(zones: Iterable[ZoneNumbers]) -> Iterable[str]:
    for zone in zones:
        start = f"{zone.name[:9]} denied: "
        yield start + reasons(zone.denies, WIDTH - 2 - len(start))

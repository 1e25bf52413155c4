"""The display of `admission top`: from the status of zones to a report."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from admission.cli.output import PIPE_WIDTH, format_value, indent, make_table
from admission.domain.visible_text import make_all_visible

STALE_MS: Final = 10_000  # the default of `max_age_ms`: the service refuses older snapshots
BAR_WIDTH: Final = 16
NUMBERS_WIDTH: Final = 57  # columns of a pool's row beside its name
NAME_WIDTH_MIN: Final = 12
ROWS_MIN: Final = 5  # of a zone: its head, its rates, the head of the table, two pools
_KINDS: Final = ("channel", "mpp", "campaign")
_DENY: Final = "deny:"
_HEADS: Final = ("IN USE", "LIMIT", "ROOM", "USED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The status of zones at one moment.

    Args:
        url: of the service.
        zones: their status, as the API returns it.
        rates: zone -> counter -> increase per second since the sample before.
        taken_at, shown_at: of the stopwatch, in seconds: when the service answered, and now.
        problem: why there is no newer sample; empty if this is the newest.

    Example:
        `render_top(Sample(url="http://127.0.0.1:8080", zones=status["zones"]), rows=24)`
    """

    url: str
    zones: Sequence[Mapping[str, Any]]
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    taken_at: float = 0.0
    shown_at: float = 0.0
    problem: str = ""

    def age(self, now: float, problem: str) -> Self:
        """Return the same sample, displayed later because of a problem."""
        return replace(self, shown_at=now, problem=problem)


def compute_rates(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, float]:
    """Return the increase per second of each counter of a zone; a reset counter is left out."""
    if before is None or "stats" not in before or "stats" not in after:
        return {}
    seconds = (after["now"] - before["now"]) / 1000
    if seconds <= 0:
        return {}
    earlier: Mapping[str, int] = before["stats"]
    increases = {name: count - earlier.get(name, 0) for name, count in after["stats"].items()}
    return {name: count / seconds for name, count in increases.items() if count > 0}


def render_top(sample: Sample, rows: int, width: int = PIPE_WIDTH) -> RenderableType:
    """Return the report of all zones. They share the rows; the fullest pools come first.

    Args: rows, width: of the terminal.
    """
    sample = replace(
        sample,
        zones=make_all_visible(sample.zones),
        problem=make_all_visible(sample.problem),
    )
    share = max(ROWS_MIN, (rows - 1) // max(1, len(sample.zones)) - 1)
    zones = (
        _render_zone(zone, sample.rates.get(zone["zone"], {}), share, width)
        for zone in sample.zones
    )
    spaced = (part for zone in zones for part in (Text(), zone))
    return Group(_describe_sample(sample), *spaced)


def _describe_sample(sample: Sample) -> Text:
    if sample.problem:
        age_s = sample.shown_at - sample.taken_at
        return _line(f"{age_s:.0f} s OLD: {sample.problem}", "bold red")
    return _line(f"admission top  {sample.url}  (Ctrl-C ends it)", "bold")


def _render_zone(
    zone: Mapping[str, Any], rates: Mapping[str, float], rows: int, width: int
) -> RenderableType:
    if "problem" in zone:
        return _line(f"{zone['zone']}: {zone['problem'].get('detail')}", "bold red")
    head = [_describe_zone(zone), _describe_rates(rates), *_describe_sources(zone)]
    pools = sorted(zone["pools"], key=_rank)
    shown = pools[: max(1, rows - len(head) - 1)]
    return Group(*head, indent(_tabulate_pools(zone, shown, width)))


def _describe_zone(zone: Mapping[str, Any]) -> Text:
    free_by_channel = [
        f"{one['pool'].partition(':')[2]} {format_value(one.get('room'))}"
        for one in zone["pools"]
        if one["pool"].startswith("channel:")
    ]
    states = [name for name in ("recovering", "shadow") if zone.get(name)]
    states += ["PAUSED"] if "zone" in (zone.get("paused") or {}) else []
    text = _line(zone["zone"], "bold").append("  ")
    if states:
        text.append(", ".join(states), style="bold red")
    else:
        text.append(f"may launch: {', '.join(free_by_channel)}", style="not bold green")
    waiters, longest_s = zone.get("waiters") or 0, (zone.get("longest_wait_ms") or 0) / 1000
    if waiters:
        text.append(f"   {waiters} waiting, longest {longest_s:.1f} s", style="not bold")
    return text


def _describe_rates(rates: Mapping[str, float]) -> Text:
    denials = {name.removeprefix(_DENY): n for name, n in rates.items() if name.startswith(_DENY)}
    text = f"  grants {rates.get('grant', 0.0):.1f}/s, denies {sum(denials.values()):.1f}/s"
    ranked = sorted(denials.items(), key=lambda one: (-one[1], one[0]))
    reasons = ", ".join(f"{reason} {count:.1f}" for reason, count in ranked)
    return _line(f"{text} ({reasons})" if reasons else text)


def _describe_sources(zone: Mapping[str, Any]) -> Iterator[Text]:
    for one in zone.get("sources") or ():
        age_ms = one.get("last_success_age_ms")
        age = "" if age_ms is None else f", answered {age_ms / 1000:.1f} s ago"
        state = one.get("state") or "no snapshots"
        error = f": {one['last_error']}" if one.get("last_error") else ""
        healthy = state in ("ok", "no snapshots") and (age_ms or 0) <= STALE_MS
        style = "" if healthy else "bold red"
        yield _line(f"  source {one['source']}: {state}{age}{error}", style)


def _tabulate_pools(
    zone: Mapping[str, Any], pools: Iterable[Mapping[str, Any]], width: int
) -> RenderableType:
    table = make_table("POOL", *_HEADS, "", "", right=_HEADS)
    table.columns[0].max_width = max(NAME_WIDTH_MIN, width - NUMBERS_WIDTH)
    for one in pools:
        limit, in_use = one.get("limit"), one["in_use"]
        notes = [*_describe_pool(zone, one)]
        is_full = "paused" in notes or one.get("room") == 0
        used = "-" if not limit else f"{100 * in_use // limit}%"
        bar: RenderableType = ""
        if limit is not None:
            bar = ProgressBar(total=max(1, limit), completed=in_use, width=BAR_WIDTH)
        table.add_row(
            one["pool"], str(in_use), format_value(limit), format_value(one.get("room")), used,
            bar, ", ".join(notes), style="bold red" if is_full else "" if in_use else "dim",
        )  # fmt: skip
    return table


def _describe_pool(zone: Mapping[str, Any], one: Mapping[str, Any]) -> Iterable[str]:
    if _is_paused(zone.get("paused") or {}, one["pool"]):
        yield "paused"
    if one.get("temporary_limit") is not None:
        yield f"limit {one['temporary_limit']}"


def _is_paused(paused: Mapping[str, Any], pool: str) -> bool:
    """Return whether the pool is paused by its own name, or with its whole MPP."""
    return pool in paused or pool.rpartition(":")[0] in paused


def _rank(one: Mapping[str, Any]) -> tuple[int, float, str]:
    """Order channels, then MPPs, campaigns and other pools, the fullest first."""
    kind = one["pool"].partition(":")[0]
    order = _KINDS.index(kind) if kind in _KINDS else len(_KINDS)
    limit = one.get("limit")
    used = one["in_use"] / limit if limit else float(one["in_use"] > 0)
    return order, -used, one["pool"]


def _line(text: str, style: str = "") -> Text:
    """Return a line that is cut at the edge of a terminal and never wrapped."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")

"""What `admission top` shows: pure, from statuses of zones to lines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from admission.terminal import Paint, bar, plain

# One less than a terminal: where a line ends in the last column, clearing to its end clears that.
WIDTH: Final = 79
NAME: Final = 22  # columns of a pool's name
STALE_MS: Final = 10_000  # idle zones are polled seldom; older than this is refused by default
_ORDER: Final = ("channel", "mpp", "campaign")
_DENY: Final = "deny:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The zones at one moment.

    Args:
        place: URL of the service.
        zones: their statuses, as the API gives them.
        rates: zone -> counter -> how many each second since the look before.
        at, shown_at: of the stopwatch: when it was looked, and now.
        trouble: why there is nothing newer; empty: this is the newest.
    """

    place: str
    zones: Sequence[Mapping[str, Any]]
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    at: float = 0.0
    shown_at: float = 0.0
    trouble: str = ""

    def aged(self, now: float, trouble: str) -> Self:
        """The same, older."""
        return replace(self, shown_at=now, trouble=trouble)


def rates(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, float]:
    """How much each counter of a zone grew each second; a lost or new one is left out."""
    if before is None or "stats" not in before or "stats" not in after:
        return {}
    seconds = (after["now"] - before["now"]) / 1000
    if seconds <= 0:
        return {}
    was: Mapping[str, int] = before["stats"]
    grown = {name: count - was.get(name, 0) for name, count in after["stats"].items()}
    return {name: count / seconds for name, count in grown.items() if count > 0}


def top_lines(look: Look, rows: int, paint: Paint = plain) -> list[str]:
    """The whole screen: each zone gets its part of the rows, and its pools by how full they are."""
    lines = [_title(look, paint)]
    each = max(6, (rows - 1) // max(1, len(look.zones)))
    for zone in look.zones:
        lines += ["", *_zone(zone, look.rates.get(zone["zone"], {}), each - 1, paint)]
    return lines[:rows]


def _title(look: Look, paint: Paint) -> str:
    if look.trouble:
        old_s = look.shown_at - look.at
        return paint("bad", f"{old_s:.0f} s OLD: {look.trouble}"[:WIDTH])
    left, right = f"admission top  {look.place}", "Ctrl-C ends it"
    return paint("head", f"{left:<{WIDTH - len(right)}}"[: WIDTH - len(right)]) + right


def _zone(
    zone: Mapping[str, Any], grown: Mapping[str, float], rows: int, paint: Paint
) -> list[str]:
    if "problem" in zone:
        return [paint("bad", f"{zone['zone']}: {zone['problem'].get('detail')}"[:WIDTH])]
    head = [_head(zone, paint), _asked(zone, grown), *_sources(zone, paint)]
    pools = sorted(zone["pools"], key=_rank)
    table = [paint("head", _COLUMNS), *(_pool(zone, one, paint) for one in pools)]
    return [*head, *table][: max(len(head) + 2, rows)]


def _head(zone: Mapping[str, Any], paint: Paint) -> str:
    rooms = [
        f"{one['pool'].partition(':')[2]} {_known(one.get('room'))}"
        for one in zone["pools"]
        if one["pool"].startswith("channel:")
    ]
    states = [name for name in ("recovering", "shadow") if zone.get(name)]
    states += ["PAUSED"] if "zone" in (zone.get("paused") or {}) else []
    free = f"may launch: {', '.join(rooms)}"
    right = paint("bad", ", ".join(states)) if states else paint("good", free)
    waiting, longest_s = zone.get("waiters") or 0, (zone.get("longest_wait_ms") or 0) / 1000
    wait = f"   {waiting} wait, longest {longest_s:.1f} s" if waiting else ""
    return f"{paint('head', zone['zone'][:30])}  {right}{wait}"


def _asked(zone: Mapping[str, Any], grown: Mapping[str, float]) -> str:
    denies = {name.removeprefix(_DENY): n for name, n in grown.items() if name.startswith(_DENY)}
    text = f"  grants {grown.get('grant', 0.0):.1f}/s, denies {sum(denies.values()):.1f}/s"
    ranked = sorted(denies.items(), key=lambda one: (-one[1], one[0]))
    why = ", ".join(f"{reason} {count:.1f}" for reason, count in ranked)
    return (text + (f" ({why})" if why else ""))[:WIDTH]


def _sources(zone: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    for one in zone.get("sources") or ():
        age_ms = one.get("last_success_age_ms")
        age = "" if age_ms is None else f", answered {age_ms / 1000:.1f} s ago"
        state = one.get("state") or "no snapshots"
        text = f"  source {one['source']}: {state}{age}"
        text += f": {one['last_error']}" if one.get("last_error") else ""
        fine = state in ("ok", "no snapshots") and (age_ms or 0) <= STALE_MS
        yield text[:WIDTH] if fine else paint("bad", text[:WIDTH])


_COLUMNS: Final = f"  {'POOL':<{NAME}} {'IN USE':>7} {'LIMIT':>7} {'ROOM':>6}  USED"


def _pool(zone: Mapping[str, Any], one: Mapping[str, Any], paint: Paint) -> str:
    limit, in_use = one.get("limit"), one["in_use"]
    numbers = f"{in_use:>7} {_known(limit):>7} {_known(one.get('room')):>6}"
    drawn = "" if limit is None else bar(in_use, limit)
    notes = [*_notes(zone, one)]
    line = f"  {_short(one['pool']):<{NAME}} {numbers}  {drawn} {', '.join(notes)}".rstrip()[:WIDTH]
    if "paused" in notes or one.get("room") == 0:
        return paint("bad", line)
    return line if in_use else paint("dim", line)


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def _notes(zone: Mapping[str, Any], one: Mapping[str, Any]) -> Iterable[str]:
    if _is_paused(zone.get("paused") or {}, one["pool"]):
        yield "paused"
    if one.get("temporary_limit") is not None:
        yield f"set {one['temporary_limit']}"


def _is_paused(paused: Mapping[str, Any], pool: str) -> bool:
    """By its own name, or an MPP's channel by the whole MPP."""
    return pool in paused or pool.rpartition(":")[0] in paused


def _rank(one: Mapping[str, Any]) -> tuple[int, float, str]:
    """Channels, then MPPs, campaigns and the rest, the fullest first."""
    kind = one["pool"].partition(":")[0]
    order = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
    limit = one.get("limit")
    full = one["in_use"] / limit if limit else float(one["in_use"] > 0)
    return order, -full, one["pool"]


def _known(value: Any) -> str:
    return "-" if value is None else str(value)

"""A zone's status as lines of text."""

from collections.abc import Iterable
from typing import Any, Final

_COLUMNS: Final = ("in_use", "limit", "room")


def overview(zones: Iterable[dict[str, Any]]) -> str:
    """All zones, each with its channels."""
    return "\n".join(line for zone in zones for line in _zone(zone, only="channel:"))


def whole(zone: dict[str, Any]) -> str:
    """One zone with all of its pools and sources."""
    sources = [f"  source {_source(one)}" for one in zone.get("sources") or ()]
    return "\n".join([*_zone(zone, only=""), *sources])


def _zone(zone: dict[str, Any], *, only: str) -> list[str]:
    if "problem" in zone:
        return [f"{zone['zone']}: {zone['problem'].get('detail')}"]
    pools = [one for one in zone["pools"] if one["pool"].startswith(only)]
    width = max((len(one["pool"]) for one in pools), default=0)
    head = f"  {'pool':<{width}}" + "".join(f"{_word(name):>9}" for name in _COLUMNS)
    return [_head(zone), head, *(_pool(zone, one, width) for one in pools)]


def _head(zone: dict[str, Any]) -> str:
    policy, paused = zone.get("policy") or {}, zone.get("paused") or {}
    said = [f"{zone['zone']}: policy version {policy.get('version', '?')}"]
    said += ["differs from the file"] if policy.get("differs_from_file") else []
    said += ["PAUSED"] if "zone" in paused else []
    said += ["recovering"] if zone.get("recovering") else []
    said += ["shadow"] if zone.get("shadow") else []
    return ", ".join(said + [f"{name} paused" for name in paused if name.startswith("mpp:")])


def _pool(zone: dict[str, Any], pool: dict[str, Any], width: int) -> str:
    numbers = "".join(f"{_number(pool.get(name)):>9}" for name in _COLUMNS)
    notes = ["paused"] if pool["pool"] in (zone.get("paused") or {}) else []
    notes += (
        [f"limited to {pool['temporary_limit']} for a while"] if "temporary_limit" in pool else []
    )
    if snapshot := pool.get("snapshot"):
        unused, total = _number(snapshot.get("unused")), _number(snapshot.get("total"))
        notes += [f"{unused} of {total} unused {snapshot['age_ms'] / 1000:.1f} s ago"]
    return f"  {pool['pool']:<{width}}{numbers}   {', '.join(notes)}".rstrip()


def _source(source: dict[str, Any]) -> str:
    error = f": {source['last_error']}" if source.get("last_error") else ""
    return f"{source['source']} {source.get('state', '')}".rstrip() + error


def _word(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    return "-" if value is None else str(value)

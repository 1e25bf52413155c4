"""What a decision and a snapshot cost as everything grows, in Redis' own time.

Zones of every size share one server and are measured in turns, so that what disturbs
the machine disturbs all. Time is what Redis says its scripts took; a decision is an `admit` in a
call of 64, undone by an `end` afterwards so that sizes stay. Workers are compared over HTTP.
"""

import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

import redis

from benchmarks import servers, svg
from benchmarks.load import drive
from benchmarks.report import Report, machine, machine_line, table
from benchmarks.zone import STORE, Zone, recover, script_us
from tests.support.redis_server import RedisServer

CALL = 64
FILL = 500
ROUNDS, ROUNDS_QUICK = 150, 15
LIVE, LIVE_QUICK = (0, 1000, 10_000, 100_000), (0, 10_000)
CAMPAIGNS, CAMPAIGNS_QUICK = (1, 50, 500), (1, 500)
POOLS, POOLS_QUICK = (0, 1, 4, 8), (0, 8)
ZONES, ZONES_QUICK = (1, 10, 100, 1000), (1, 100)
WORKERS, WORKERS_QUICK = (1, 2, 4), (1,)
SNAPSHOTS, SNAPSHOTS_QUICK = 220, 30
SECONDS, SECONDS_QUICK = 4, 1


def run(*, quick: bool) -> Report:
    """Measure every dimension."""
    with RedisServer(**STORE) as server, redis.Redis.from_url(server.url) as client:
        found: dict[str, Any] = {"machine": machine()}
        found["machine"]["redis"] = client.info("server")["redis_version"]
        found |= _of_reservations(client, quick)
        found["campaigns"] = _compared(client, "campaigns", quick)
        found["campaigns, each ask of a call another's"] = _compared(
            client, "campaigns", quick, mixed=True
        )
        found["pools"] = _compared(client, "pools", quick)
        found["zones"] = _of_zones(client, quick)
    found["workers"] = _of_workers(quick)
    return Report(data=found, markdown=_markdown(found), pictures={"scale.svg": _picture(found)})


def _of_reservations(client: redis.Redis, quick: bool) -> dict[str, Any]:
    """Zones that differ in their live reservations: decisions, snapshots, bytes."""
    sizes = LIVE_QUICK if quick else LIVE
    zones = {n: Zone(client, f"live-{n}") for n in sizes}
    recover(zones.values())
    used = client.info("memory")["used_memory"]
    _fill(zones[sizes[-1]], sizes[-1])
    pending = (client.info("memory")["used_memory"] - used) / sizes[-1]
    for n in sizes[:-1]:
        _fill(zones[n], n)
    time.sleep(1.3)  # until all of them are older than a snapshot's window
    snapshots = {str(n): _snapshots(client, zone, quick) for n, zone in zones.items()}
    usage = _bytes_held(client, zones[sizes[-1]], sizes[-1])
    decisions = {str(n): one for n, one in _decisions(client, zones, quick).items()}
    return {
        "live": decisions,
        "snapshot_us": snapshots,
        "bytes_per_reservation": {"pending": round(pending), "held": round(usage)},
    }


def _fill(zone: Zone, n: int) -> None:
    for _ in range(n // FILL):
        zone.admit(FILL)


def _bytes_held(client: redis.Redis, zone: Zone, n: int) -> float:
    """By MEMORY USAGE of every key of the zone, all members counted."""
    keys = client.scan_iter(f"adm:{{{zone.name}}}:*")
    return sum(client.memory_usage(key, samples=0) or 0 for key in keys) / n


def _snapshots(client: redis.Redis, zone: Zone, quick: bool) -> dict[str, float]:
    """us that single snapshots took, each of which moves the window over what is live."""
    took = []
    for _ in range(SNAPSHOTS_QUICK if quick else SNAPSHOTS):
        now = zone.call([{"op": "time"}])["now"]
        before = script_us(client)
        group = {"total": 1_000_000, "unused": {"channel:sip": 800_000}}
        zone.call([{"op": "ingest", "t0": now, "groups": [group]}])
        took.append(script_us(client) - before)
        time.sleep(0.001)
    return {"median": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98]}


def _decisions(
    client: redis.Redis, zones: Mapping[Any, Zone], quick: bool, *, mixed: bool = False
) -> dict[Any, dict[str, float]]:
    """us for each decision, every zone in turn; mixed: each ask of a call is another campaign's."""
    took: dict[Any, list[float]] = {n: [] for n in zones}
    for turn in range(ROUNDS_QUICK if quick else ROUNDS):
        for n, zone in zones.items():
            before = script_us(client)
            ids = zone.admit(CALL, turn * 61, mixed=mixed)
            took[n].append((script_us(client) - before) / CALL)
            zone.end(ids)
    return {n: _summed_up(values) for n, values in took.items()}


def _summed_up(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=10)
    return {"least_us": round(cuts[0], 2), "median_us": round(statistics.median(values), 2)}


def _compared(
    client: redis.Redis, what: str, quick: bool, *, mixed: bool = False
) -> dict[str, Any]:
    """Zones that differ in one number of their policy."""
    sizes = {"campaigns": (CAMPAIGNS_QUICK, CAMPAIGNS), "pools": (POOLS_QUICK, POOLS)}[what]
    chosen = sizes[0 if quick else 1]
    zones = {n: Zone(client, f"{what}-{mixed}-{n}", **{what: n}) for n in chosen}
    recover(zones.values())
    return {str(n): one for n, one in _decisions(client, zones, quick, mixed=mixed).items()}


def _of_zones(client: redis.Redis, quick: bool) -> dict[str, Any]:
    """Groups of more and more zones; each decision is made in the next zone of its group."""
    found = {}
    everything = [Zone(client, f"zone-{n}") for n in range((ZONES_QUICK if quick else ZONES)[-1])]
    recover(everything)
    took: dict[int, list[float]] = {n: [] for n in (ZONES_QUICK if quick else ZONES)}
    for turn in range(ROUNDS_QUICK if quick else ROUNDS):
        for n, values in took.items():
            zone = everything[turn * 7919 % n]
            before = script_us(client)
            ids = zone.admit(CALL)
            values.append((script_us(client) - before) / CALL)
            zone.end(ids)
    found |= {str(n): _summed_up(values) for n, values in took.items()}
    return found


def _of_workers(quick: bool) -> dict[str, Any]:
    """Decisions a second over HTTP in batches of 100, by worker processes."""
    found = {}
    body = json.dumps({"requests": [servers.ASK] * 100})
    for n in WORKERS_QUICK if quick else WORKERS:
        with RedisServer(**STORE) as server, servers.admission(server.url, n) as port:
            env = {"PATH_": "/v1/admissions/batch", "BODY": body, "TOKEN": servers.TOKEN}
            load = drive(port, "one", SECONDS_QUICK if quick else SECONDS, 8, **env)
            found[str(n)] = {"decisions_per_s": round(load["per_s"] * 100)}
    return found


def _markdown(found: dict[str, Any]) -> str:
    lines = ["# As everything grows", "", machine_line(found["machine"]), ""]
    lines.append("Time is Redis' own, for one decision in a call of 64; least: the quickest tenth.")
    for what in ("live", "zones", *(one for one in found if one.startswith("camp")), "pools"):
        first = next(iter(found[what].values()))["least_us"]
        rows = [
            (f"{int(n):,}", one["least_us"], one["median_us"], f"{one['least_us'] / first:.2f}")
            for n, one in found[what].items()
        ]
        title = {"live": "live reservations", "pools": "named pools"}.get(what, what)
        lines += ["", table((title, "least us", "median us", "to the first"), rows).strip()]
    rows = [(f"{int(n):,}", *one.values()) for n, one in found["snapshot_us"].items()]
    lines += ["", table(("live, at a snapshot", "median us", "p99 us"), rows).strip()]
    rows = list(found["bytes_per_reservation"].items())
    lines += ["", table(("bytes per reservation", ""), rows).strip()]
    rows = [(n, f"{one['decisions_per_s']:,}") for n, one in found["workers"].items()]
    lines += ["", table(("workers, batches over HTTP", "decisions/s"), rows).strip()]
    return "\n".join(lines) + "\n"


def _picture(found: dict[str, Any]) -> str:
    series = {
        title: {float(n): one["least_us"] for n, one in found[what].items()}
        for what, title in (
            ("live", "live reservations"),
            ("zones", "zones"),
            ("campaigns", "campaigns"),
        )
    }
    return svg.lines("Redis' time for a decision, as everything grows", series, "us")

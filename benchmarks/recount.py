"""What a recount costs the calls of a zone, in processor time of Redis' main thread.

    slice    a call that runs a slice of 400 entries and nothing else, less an idle call,
             by the phase of the recount
    load     a call of 64 admissions and a call of their ends, one pair after the other

The blocks of the load come in turns, alone and beside a recount, several rounds in one run.
"""

import json
import statistics
import time
from typing import Any, Final

import redis

from benchmarks.report import Report, machine, machine_line, spread, table
from benchmarks.zone import STORE, Zone, recover
from tests.support.redis_server import RedisServer

RECORDS, RECORDS_QUICK = 20_000, 6000
ROUNDS, ROUNDS_QUICK = 7, 2
PAIRS, PAIRS_QUICK = 300, 60
CALL: Final = 64
CAMPAIGNS: Final = 100
IDLE_CALLS: Final = 200
PAUSE_S: Final = 0.025  # longer than lua/effects/recount.lua pauses between two slices
TIME: Final = [{"op": "time"}]
PHASES: Final = ("clear", "records", "deadlines", "pools", "shares", "absent", "requests")


def run(*, quick: bool) -> Report:
    """Measure slices, then the load in turns."""
    records, rounds, pairs = (
        (RECORDS_QUICK, ROUNDS_QUICK, PAIRS_QUICK) if quick else (RECORDS, ROUNDS, PAIRS)
    )
    with RedisServer(**STORE) as server, _connect(server) as client:
        zone = Zone(client, "East", campaigns=CAMPAIGNS)
        recover([zone])
        for n in range(0, records, CALL):
            zone.admit(CALL, n, mixed=True)
        found: dict[str, Any] = {"machine": machine(), "records": records, "rounds": rounds}
        found["machine"]["redis"] = client.info("server")["redis_version"]
        idle = [_measure(zone) for _ in range(IDLE_CALLS)]
        found["idle_us"] = spread(idle, 1)
        found["slice_us"] = _measure_slices(zone, statistics.median(idle))
        found["pair_us"] = _measure_load(zone, rounds, pairs)
    plain, beside = (found["pair_us"][name]["median"] for name in ("alone", "recount under way"))
    found["ratio"] = round(beside / plain, 3)
    return Report(data=found, markdown=_markdown(found))


def _connect(server: RedisServer) -> redis.Redis:
    """A client that waits while a busy disk delays the append-only file."""
    return redis.Redis.from_url(server.url, socket_timeout=60.0)


def _read_meta(zone: Zone) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zone.client.hget(zone.keys[0], "meta") or b"{}")
    return found


def _begin_recount(zone: Zone) -> None:
    """A recount begins with the next call, as at intervals: grants go on meanwhile."""
    if "recounting" not in _read_meta(zone):
        meta = json.dumps(_read_meta(zone) | {"recount": True})
        zone.client.hset(zone.keys[0], "meta", meta)
        zone.call(TIME)


def _read_cpu_us(client: redis.Redis) -> float:
    """Processor time of the thread that runs commands, in us."""
    found = client.info("cpu")
    return 1e6 * sum(float(found[f"used_cpu_{kind}_main_thread"]) for kind in ("user", "sys"))


def _measure(zone: Zone) -> float:
    """Us of a call that asks for nothing."""
    before = _read_cpu_us(zone.client)
    zone.call(TIME)
    return _read_cpu_us(zone.client) - before


def _measure_slices(zone: Zone, idle_us: float) -> dict[str, dict[str, float]]:
    """Phase in which the call began -> us of its slices, without those of an idle call."""
    values: dict[str, list[float]] = {}
    _begin_recount(zone)
    while state := _read_meta(zone).get("recounting"):
        phase = "pending" if "pending" in state else PHASES[state["phase"] - 1]
        time.sleep(PAUSE_S)
        values.setdefault(phase, []).append(_measure(zone) - idle_us)
    every = [one for some in values.values() for one in some]
    return {
        name: spread(some, 0) | {"slices": len(some)}
        for name, some in (values | {"all": every}).items()
    }


def _measure_load(zone: Zone, rounds: int, pairs: int) -> dict[str, dict[str, float]]:
    """Us of a pair of calls, alone and beside a recount."""
    values: dict[str, list[float]] = {"alone": [], "recount under way": []}
    for _ in range(rounds):
        for name, some in values.items():
            while name == "alone" and "recounting" in _read_meta(zone):
                time.sleep(PAUSE_S)
                zone.call(TIME)
            zone.take_snapshot()
            before = _read_cpu_us(zone.client)
            for _ in range(pairs):
                if _read_meta(zone) and name != "alone":  # both read it
                    _begin_recount(zone)
                zone.end(zone.admit(CALL, mixed=True))
            some.append((_read_cpu_us(zone.client) - before) / pairs)
    return {name: spread(some, 1) for name, some in values.items()}


def _markdown(found: dict[str, Any]) -> str:
    rows = [
        (name, one["slices"], *(f"{one[key]:,.0f}" for key in ("median", "least", "most")))
        for name, one in found["slice_us"].items()
    ]
    loads = [
        (name, *(f"{one[key]:,.1f}" for key in ("median", "least", "most")))
        for name, one in found["pair_us"].items()
    ]
    lines = ["# What a recount costs", "", machine_line(found["machine"])]
    lines.append(
        f"{found['records']:,} reservations; an idle call: {found['idle_us']['median']} us."
    )
    lines += ["", table(("phase of the slice", "slices", "us", "least", "most"), rows).strip()]
    head = (f"{CALL} admissions and {CALL} ends", "us", "least", "most")
    lines += ["", table(head, loads).strip()]
    lines += [
        "",
        f"Beside a recount / alone: {found['ratio']} ({found['rounds']} rounds in turns).",
    ]
    return "\n".join(lines) + "\n"

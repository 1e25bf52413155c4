"""Admissions over HTTP, compared with a bare HTTP echo and with alternatives.

    echo        a bare aiohttp echo of the same JSON: the cost of the server itself
    admission   this service, one worker: token, metrics, report_url, and pools of channel, MPP,
                campaign and trunk with rates; its snapshot pushed once a second
    semaphore   INCR and DECR in a script of Redis behind aiohttp
    limits      a window of the package `limits` in Redis behind aiohttp: without ends of calls
    throttle    `throttle-server` (Rust): one semaphore in memory, lost at a restart

One load generator with 64 connections drives all servers, in turns, in several rounds. Single: one
admission per request. Pairs: each reservation is ended. Batches: 100 admissions in a request.
"""

import contextlib
import importlib.util
import json
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import servers, svg
from benchmarks.load import CONNECTIONS, drive, tool
from benchmarks.report import Report, machine, machine_line, spread, table
from benchmarks.zone import STORE
from tests.support.redis_server import RedisServer

BATCH = 100
BATCH_CONNECTIONS = 8
BATCH_SECONDS_MAX = 1  # the reservations are not ended, and a pool holds a million
ROUNDS, ROUNDS_QUICK = 7, 2
SECONDS, SECONDS_QUICK = 5, 1
ERRORS_MAX = 0.01  # share of the requests that may fail on a loaded machine

ASK = json.dumps(servers.ASK)
SINGLE = {"PATH_": "/v1/admissions", "BODY": ASK}
END = {"END_METHOD": "POST", "END_PATH": "/end/%s", "END_BODY": "{}"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server under test.

    Args:
        start: starts the server on a Redis URL.
        stores: the state survives a restart.
        single, pairs, batch: settings of the scripts of the load generator; None: not supported.
    """

    start: Callable[[str], Any]
    stores: bool = True
    single: dict[str, str] = field(default_factory=lambda: SINGLE)
    pairs: dict[str, str] | None = None
    batch: dict[str, str] | None = None


OURS = {"PATH_": "/v1/admissions", "BODY": ASK, "TOKEN": servers.TOKEN}
SERVERS = {
    "echo": Server(start=lambda url: servers.peer("echo", url), stores=False),
    "admission": Server(
        start=servers.admission,
        single=OURS,
        pairs=OURS
        | {
            "ID": '"reservations":%[{"id":"([^"]+)"',
            "END_METHOD": "POST",
            "END_PATH": "/v1/reservations/%s/end",
            "END_BODY": '{"outcome":"completed"}',
        },
        batch={
            "PATH_": "/v1/admissions/batch",
            "BODY": json.dumps({"requests": [servers.ASK] * BATCH}),
            "TOKEN": servers.TOKEN,
        },
    ),
    "semaphore": Server(
        start=lambda url: servers.peer("semaphore", url),
        pairs=SINGLE | END | {"ID": '"granted": ?true, "id": "([^"]+)"'},
    ),
    "limits": Server(
        start=lambda url: servers.peer("limits", url),
        pairs=SINGLE | END | {"ID": '"granted": ?true, "id": "([^"]+)"'},
    ),
    "throttle": Server(
        start=lambda _: servers.throttle(),
        stores=False,
        single={"METHOD": "PUT", "PATH_": "/peers/{peer}/A", "BODY": "1"},
        pairs={
            "FIRST_PATH": "/new_peer",
            "FIRST_BODY": '{"expires_in":"5m"}',
            "ID": "^(%d+)$",
            "PATH_": "/peers/%s/A",
            "BODY": "1",
            "END_METHOD": "DELETE",
            "END_PATH": "/peers/%s",
        },
    ),
}
NEEDS = {"limits": "limits"}


def find_missing() -> dict[str, str]:
    """Return the servers that cannot run here, and the reasons."""
    found = {
        name: f"the package {package} is not installed"
        for name, package in NEEDS.items()
        if importlib.util.find_spec(package) is None
    }
    if not shutil.which("throttle", path=str(Path(sys.executable).parent)):
        found["throttle"] = "throttle-server is not installed"
    return found


def run(*, quick: bool) -> Report:
    """Measure all installed servers."""
    absent = find_missing()
    rounds, seconds = (ROUNDS_QUICK, SECONDS_QUICK) if quick else (ROUNDS, SECONDS)
    found: dict[str, Any] = {"machine": machine(), "tool": tool(), "missing": absent}
    found |= {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "batch": BATCH}
    for title, kind in (("single", "single"), ("pairs", "pairs"), ("batches", "batch")):
        able = [name for name, one in SERVERS.items() if getattr(one, kind) is not None]
        with _serve_all([name for name in able if name not in absent]) as ports:
            found[title] = _rounds(ports, kind, rounds, seconds)
    found["ratios"] = _ratios(found)
    return Report(data=found, markdown=_markdown(found), pictures={"http.svg": _picture(found)})


@contextmanager
def _serve_all(names: list[str]) -> Iterator[dict[str, int]]:
    """Start each server on its own Redis."""
    with ExitStack() as stack:
        ports = {}
        for name in names:
            server = stack.enter_context(RedisServer(**STORE))
            ports[name] = stack.enter_context(SERVERS[name].start(server.url))
        yield ports


def _rounds(ports: dict[str, int], kind: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure the servers in turns, so that a disturbance of the machine affects all."""
    rounds_of: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for name, port in ports.items():
            env = getattr(SERVERS[name], kind)
            rounds_of.setdefault(name, []).append(_drive(name, port, kind, env, seconds))
    return {name: _summarize(one) for name, one in rounds_of.items()}


def _drive(name: str, port: int, kind: str, env: dict[str, str], seconds: float) -> dict[str, Any]:
    if name == "throttle" and kind == "single":
        peer = servers.call(port, "/new_peer", {"expires_in": "5m"})
        env = env | {"PATH_": env["PATH_"].format(peer=peer)}
    before = servers.count_grants(port) if name == "admission" else 0
    connections = BATCH_CONNECTIONS if kind == "batch" else CONNECTIONS
    script = "pairs" if kind == "pairs" else "one"
    seconds = min(seconds, BATCH_SECONDS_MAX) if kind == "batch" else seconds
    found = drive(port, script, seconds, connections, **env)
    if kind == "batch":
        found["per_s"] *= BATCH
    if found["errors"] > ERRORS_MAX * found["requests_per_s"] * seconds:
        raise RuntimeError(f"{name}: {found['errors']} failed requests of {kind}")
    if name == "admission" and servers.count_grants(port) - before < 0.9 * found["per_s"] * seconds:
        raise RuntimeError(f"admission: a request of {kind} was not granted")
    return found


def _summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("per_s", "requests_per_s", "p50_ms", "p99_ms")
    return {name: spread([one[name] for one in rounds]) for name in names} | {
        "each_per_s": [round(one["per_s"]) for one in rounds]
    }


def _ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return the medians of the ratios to the other servers, round by round."""
    ratios = {}
    for kind, name in (("single", "echo"), ("single", "throttle"), *_stored_pairs(found)):
        ours, other = found[kind].get("admission"), found[kind].get(name)
        if ours and other:
            each = zip(ours["each_per_s"], other["each_per_s"], strict=True)
            ratio = statistics.median(a / max(1, b) for a, b in each)
            ratios[f"{kind}: admission / {name}"] = round(ratio, 3)
    with contextlib.suppress(KeyError, ZeroDivisionError):
        p99 = (found["single"][name]["p99_ms"]["median"] for name in ("admission", "echo"))
        ratios["single: p99 admission / echo"] = round(next(p99) / next(p99), 2)
    return ratios


def _stored_pairs(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [("pairs", name) for name in found["pairs"] if name != "admission"]


def _markdown(found: dict[str, Any]) -> str:
    lines = ["# Admissions over HTTP", "", machine_line(found["machine"])]
    lines.append(
        f"Driven by {found['tool']}, {found['connections']} connections (batches of "
        f"{found['batch']}: {BATCH_CONNECTIONS}), {found['rounds']} rounds of {found['seconds']} s "
        "in turns; one worker each; clients, servers and Redis share the machine."
    )
    titles = {
        "single": "One admission a request",
        "pairs": "Reserve and end",
        "batches": "Batches",
    }
    for kind, title in titles.items():
        head = (title, "a second", "least", "most", "p50 ms", "p99 ms", "keeps its state")
        lines += ["", table(head, [_row(name, one) for name, one in found[kind].items()]).strip()]
    lines += ["", table(("ratio", ""), list(found["ratios"].items())).strip()]
    lines += [f"\nNot measured: {name}, {why}." for name, why in found["missing"].items()]
    return "\n".join(lines) + "\n"


def _row(name: str, one: dict[str, Any]) -> list[object]:
    per_s = one["per_s"]
    counts = [f"{per_s[key]:,.0f}" for key in ("median", "least", "most")]
    times = [one[key]["median"] for key in ("p50_ms", "p99_ms")]
    return [name, *counts, *times, "yes" if SERVERS[name].stores else "no"]


def _picture(found: dict[str, Any]) -> str:
    values = {f"{name}, single": one["per_s"]["median"] for name, one in found["single"].items()}
    values |= {f"{name}, pairs": one["per_s"]["median"] for name, one in found["pairs"].items()}
    batches = found["batches"]["admission"]["per_s"]["median"]
    values[f"admission, batches of {found['batch']}"] = batches
    return svg.bars("Admissions over HTTP, one worker", values, "a second")

"""The commands of operators: apply, set, pause, resume, status. All talk to a running service.

Exit codes: 0 ok, 1 failed or refused, 2 usage, 3 unreachable.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from admission.cli.api_client import path_of
from admission.cli.assignments import merge_patch
from admission.cli.common import command, show, talk
from admission.errors import ConfigError

OK, FAILED = 0, 1


def add_set(commands: Any) -> None:
    """`admission set ZONE path=value ...`."""
    text = "change a zone's live policy"
    parser = command(
        commands, "set", text, _set,
        "admission set East campaigns.collections.limit=50",
        'admission set East headroom=5% campaigns."*".weight=2 pools.trunk:old=',
    )  # fmt: skip
    parser.add_argument("zone")
    parser.add_argument(
        "assignments",
        nargs="+",
        metavar="path=value",
        help="such as campaigns.collections.limit=50; nothing after the = removes",
    )


def add_pause(commands: Any) -> None:
    """`admission pause ZONE [POOL]`."""
    parser = command(
        commands, "pause", "stop grants of a zone or a pool", _pause,
        "admission pause East", "admission pause East mpp:mpp1",
    )  # fmt: skip
    _zone_and_pool(parser)


def add_resume(commands: Any) -> None:
    """`admission resume ZONE [POOL]`."""
    parser = command(
        commands, "resume", "grant again in a zone or a pool", _pause,
        "admission resume East", "admission resume East campaign:collections",
    )  # fmt: skip
    _zone_and_pool(parser)


def add_status(commands: Any) -> None:
    """`admission status [ZONE]`."""
    parser = command(
        commands, "status", "show all zones, or every pool of one", _status,
        "admission status", "admission status East --json",
    )  # fmt: skip
    parser.add_argument("zone", nargs="?")


def _zone_and_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("zone")
    text = "such as mpp:mpp1, campaign:collections, trunk:carrier-a; without: the whole zone"
    parser.add_argument("pool", nargs="?", help=text)


def _set(chosen: argparse.Namespace) -> int:
    patch = merge_patch(chosen.assignments)
    path = path_of(chosen.zone, "policy")
    found = talk(chosen, lambda api: api.call("PATCH", path, body=patch))
    done = "is live" if found["changed"] else "was live before: nothing changed"
    show(chosen, found, f"{chosen.zone}: version {found['version']} {done}")
    return OK


def _pause(chosen: argparse.Namespace) -> int:
    inside = ("pools", chosen.pool) if chosen.pool else ()
    path = path_of(chosen.zone, *inside, chosen.command)
    found = talk(chosen, lambda api: api.call("POST", path))
    what = f"{chosen.zone} {chosen.pool}" if chosen.pool else chosen.zone
    state = "paused" if found["paused"] else "not paused"
    show(chosen, found, f"{what}: {state}" + ("" if found["changed"] else ", as before"))
    return OK


def _status(chosen: argparse.Namespace) -> int:
    from admission.cli.status import overview, whole

    if chosen.zone:
        found = talk(chosen, lambda api: api.call("GET", path_of(chosen.zone)))
        show(chosen, found, whole(found))
        return OK
    found = talk(chosen, lambda api: api.call("GET", "/v1/zones"))
    show(chosen, found, overview(found["zones"]))
    return FAILED if any("problem" in one for one in found["zones"]) else OK


def add_apply(commands: Any) -> None:
    """`admission apply FILE`."""
    text = "make a file's policies live, after showing what differs"
    parser = command(
        commands, "apply", text, _apply,
        "admission apply my.toml", "admission apply my.toml --dry-run",
    )  # fmt: skip
    parser.add_argument("file", type=Path)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only show what differs")


def _apply(chosen: argparse.Namespace) -> int:
    from admission.cli.apply import compare, described, write

    plans = talk(chosen, lambda api: compare(api, chosen.file))
    if not chosen.json:
        print(described(plans))
    if any(plan.differs for plan in plans) and _may_write(chosen):
        plans = talk(chosen, lambda api: write(api, plans))
        if not chosen.json:
            print("\n".join(plan.outcome() for plan in plans if plan.differs or plan.problem))
    if chosen.json:
        print(json.dumps({"zones": [plan.fields() for plan in plans]}, indent=2))
    return FAILED if any(plan.problem for plan in plans) else OK


def _may_write(chosen: argparse.Namespace) -> bool:
    """Whether to go on. Raises `ConfigError` where there is nobody to ask."""
    if chosen.dry_run or chosen.yes:
        return bool(chosen.yes and not chosen.dry_run)
    if chosen.json or not sys.stdin.isatty():
        raise ConfigError("nobody to ask: add --yes to write, or --dry-run to look")
    return input("Make this live? [y/N] ").strip().lower() in ("y", "yes")


ADD_COMMANDS: Final = (add_apply, add_set, add_pause, add_resume, add_status)

"""The commands of operators: apply, set, pause, resume, status. All talk to a running service.

Exit codes: 0 ok, 1 failed or refused, 2 usage, 3 unreachable.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from admission.assignments import merge_patch
from admission.cli_help import add_command
from admission.cli_http import Api, Place, path_of
from admission.errors import ConfigError

OK, FAILED = 0, 1
DEFAULT_URL: Final = "http://127.0.0.1:8080"
URL_ENV, TOKEN_ENV = "ADMISSION_URL", "ADMISSION_TOKEN"

T = TypeVar("T")


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


def add_remote(parser: argparse.ArgumentParser) -> None:
    """The options of every command that talks to a service."""
    parser.add_argument(
        "--url",
        default=os.environ.get(URL_ENV) or DEFAULT_URL,
        help=f"of the service (else {URL_ENV}, else {DEFAULT_URL})",
    )
    parser.add_argument(
        "--token-env",
        default=TOKEN_ENV,
        metavar="NAME",
        help=f"environment variable that has the token (default {TOKEN_ENV})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def talk(chosen: argparse.Namespace, use: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
    """Run `use` with a client of the chosen service.

    Raises:
        ConfigError: the URL, or the variable that was named for the token, is not usable.
    """
    token = os.environ.get(chosen.token_env, "")
    if not token and chosen.token_env != TOKEN_ENV:
        raise ConfigError(f"the environment variable {chosen.token_env} is not set")

    async def run() -> T:
        async with Api(Place(url=chosen.url, token=token)) as api:
            return await use(api)

    return asyncio.run(run())


def show(chosen: argparse.Namespace, found: Any, text: str) -> None:
    """Print an answer: as JSON when that was asked for, else as text."""
    print(json.dumps(found, indent=2) if chosen.json else text)


def command(
    commands: Any,
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    *examples: str,
) -> argparse.ArgumentParser:
    """A command that talks to a service, with examples at the end of its help."""
    parser = add_command(commands, name, text, *examples)
    parser.set_defaults(run=run, command=name)
    add_remote(parser)
    return parser


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
    from admission.cli_status import overview, whole

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
    from admission.cli_apply import compare, described, write

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

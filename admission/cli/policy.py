"""Commands of operators: apply, backup, restore, set, pause, resume, status."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from admission.cli.common import (
    DEFAULT_URL,
    FAILED,
    LINE_END,
    OK,
    OPERATIONS,
    TOKEN_ENV,
    AsJson,
    Remote,
    TokenEnv,
    Url,
    command,
    show,
    zone_path,
)
from admission.domain.visible_text import make_visible
from admission.errors import ConfigError

app = typer.Typer()

Zone: TypeAlias = Annotated[str, typer.Argument(metavar="ZONE", help="The zone.")]
Pool: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="POOL",
        help="Such as mpp:mpp1, campaign:collections, trunk:carrier-a; else the whole zone.",
    ),
]


@command(
    app, "apply", OPERATIONS,
    "admission apply my.toml", "admission apply my.toml --dry-run",
)  # fmt: skip
def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration (TOML).")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs.")] = False,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Make the policies of a file live, after showing what differs."""
    from admission.cli.apply import compare, describe, write

    remote = Remote(url=url, token_env=token_env)
    plans = remote.run(lambda api: compare(api, file))
    if not as_json:
        print(make_visible(describe(plans), keep=LINE_END))
    if any(plan.differs for plan in plans) and _confirm(yes=yes, dry_run=dry_run, as_json=as_json):
        plans = remote.run(lambda api: write(api, plans))
        if not as_json:
            outcomes = (plan.outcome() for plan in plans if plan.differs or plan.problem)
            print(make_visible("\n".join(outcomes), keep=LINE_END))
    if as_json:
        print(json.dumps({"zones": [plan.fields() for plan in plans]}, indent=2))
    return FAILED if any(plan.problem for plan in plans) else OK


@command(
    app, "backup", OPERATIONS,
    "admission backup zones.json",
)  # fmt: skip
def back_up(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="To write; else standard output.")
    ] = None,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
) -> int:
    """Save the live policies and pauses of all zones."""
    from admission.cli.backup import read_service, save

    document = Remote(url=url, token_env=token_env).run(read_service)
    if file is None:
        print(json.dumps(document, indent=2))
    else:
        save(document, file)
        print(f"{file}: {len(document['zones'])} zones")
    return OK


@command(
    app, "restore", OPERATIONS,
    "admission restore zones.json", "admission restore zones.json --dry-run",
)  # fmt: skip
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written by admission backup.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs.")] = False,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Make the policies and pauses of a backup live, after showing what differs."""
    from admission.cli import backup
    from admission.cli.apply import describe

    remote = Remote(url=url, token_env=token_env)
    saved = backup.load(file)
    found = remote.run(lambda api: backup.compare(api, saved))
    if not as_json:
        pauses = filter(None, map(backup.describe, found))
        lines = [describe(one.plan for one in found), *pauses]
        print(make_visible("\n".join(lines), keep=LINE_END))
    if any(one.differs for one in found) and _confirm(yes=yes, dry_run=dry_run, as_json=as_json):
        found = remote.run(lambda api: backup.restore(api, found))
        if not as_json:
            outcomes = (one.plan.outcome() for one in found if one.differs or one.plan.problem)
            print(make_visible("\n".join(outcomes), keep=LINE_END))
    if as_json:
        print(json.dumps({"zones": [one.fields() for one in found]}, indent=2))
    return FAILED if any(one.plan.problem for one in found) else OK


@command(
    app, "set", OPERATIONS,
    "admission set East campaigns.collections.limit=50",
    'admission set East headroom=5% campaigns."*".weight=2 pools.trunk:old=',
)  # fmt: skip
def set_settings(
    zone: Zone,
    assignments: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH=VALUE...",
            help="Such as campaigns.collections.limit=50. An empty value removes the setting.",
        ),
    ],
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Change settings of the live policy of a zone."""
    from admission.cli.assignments import parse_assignments

    patch = parse_assignments(assignments)
    live = Remote(url=url, token_env=token_env).request("PATCH", zone_path(zone, "policy"), patch)
    state = "is live" if live["changed"] else "was live before: nothing changed"
    show(live, lambda one: f"{zone}: version {one['version']} {state}", as_json=as_json)
    return OK


@command(
    app, "pause", OPERATIONS,
    "admission pause East", "admission pause East mpp:mpp1",
)  # fmt: skip
def pause(
    zone: Zone,
    pool: Pool = None,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Stop grants of a zone or a pool."""
    return _switch("pause", zone, pool, Remote(url=url, token_env=token_env), as_json)


@command(
    app, "resume", OPERATIONS,
    "admission resume East", "admission resume East campaign:collections",
)  # fmt: skip
def resume(
    zone: Zone,
    pool: Pool = None,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Allow grants of a zone or a pool again."""
    return _switch("resume", zone, pool, Remote(url=url, token_env=token_env), as_json)


@command(
    app, "status", OPERATIONS,
    "admission status", "admission status East --json",
)  # fmt: skip
def show_status(
    zone: Annotated[
        str | None, typer.Argument(metavar="ZONE", help="All of its pools; else every zone.")
    ] = None,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Show all zones with their channels, or one zone with all of its pools."""
    from admission.cli.status import render_overview, render_zone

    remote = Remote(url=url, token_env=token_env)
    if zone:
        status = remote.request("GET", zone_path(zone))
        show(status, render_zone, as_json=as_json)
        return OK
    overview = remote.request("GET", "/v1/zones")
    show(overview, lambda shown: render_overview(shown["zones"]), as_json=as_json)
    return FAILED if any("problem" in one for one in overview["zones"]) else OK


@command(
    app, "clear-aside", OPERATIONS,
    "admission clear-aside East",
)  # fmt: skip
def clear_aside(
    zone: Zone,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Delete what a zone set aside because it could not be read, after its inspection."""
    remote = Remote(url=url, token_env=token_env)
    cleared = remote.request("DELETE", zone_path(zone, "aside"))
    show(cleared, lambda one: f"{zone}: {one['cleared']} entries deleted", as_json=as_json)
    return OK


@command(
    app, "rotate-keys", OPERATIONS,
    "admission rotate-keys East",
    "admission rotate-keys East --keep-hours 0",
)  # fmt: skip
def rotate_keys(
    zone: Zone,
    keep_hours: Annotated[
        float,
        typer.Option(
            metavar="H", min=0, max=168, help="Accept signatures of earlier keys for H hours."
        ),
    ] = 24,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Sign the report_urls and ids of a zone with a new key. After a leak: --keep-hours 0."""
    remote = Remote(url=url, token_env=token_env)
    body = {"keep_ms": round(keep_hours * 3_600_000)}
    rotated = remote.request("POST", zone_path(zone, "keys"), body)
    show(rotated, lambda one: f"{zone}: a new key, version {one['version']}", as_json=as_json)
    return OK


def _switch(
    verb: Literal["pause", "resume"], zone: str, pool: str | None, remote: Remote, as_json: bool
) -> int:
    parts = ("pools", pool, verb) if pool else (verb,)
    switched = remote.request("POST", zone_path(zone, *parts))
    target = f"{zone} {pool}" if pool else zone
    state = "paused" if switched["paused"] else "not paused"
    repeated = "" if switched["changed"] else ", as before"
    show(switched, lambda _: f"{target}: {state}{repeated}", as_json=as_json)
    return OK


def _confirm(*, yes: bool, dry_run: bool, as_json: bool) -> bool:
    """Return whether to write. Raises `ConfigError` if no terminal can be asked."""
    if dry_run or yes:
        return yes and not dry_run
    if as_json or not sys.stdin.isatty():
        raise ConfigError("no terminal to ask for confirmation: add --yes to write, or --dry-run")
    return input("Make this live? [y/N] ").strip().lower() in ("y", "yes")

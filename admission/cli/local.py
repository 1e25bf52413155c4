"""Commands that work without a running service: serve, check, alive, demo, simulate."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from admission.cli.common import FAILED, OK, PLATFORMS, SERVICE, AsJson, command, complain
from admission.cli.probe import print_results, probe_file
from admission.errors import ConfigError

if TYPE_CHECKING:
    from admission.config import Settings

app = typer.Typer()

Platform: TypeAlias = Literal["experience-portal", "huawei"]


@command(
    app, "serve", SERVICE,
    "admission serve                    # the demo: embedded Redis, simulated platform",
    "admission serve my.toml",
    "ADMISSION__SERVER__PORT=9090 admission serve my.toml",
)  # fmt: skip
def run_service(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Configuration (TOML); else the demo's, with a simulated platform.",
        ),
    ] = None,
) -> int:
    """Run the service until Ctrl-C."""
    import uvloop

    from admission.runtime.serve import serve

    uvloop.run(serve(file, dict(os.environ)))
    return OK


@command(
    app, "check", SERVICE,
    "admission check my.toml",
    "admission check --probe my.toml    # and ask each platform once",
)  # fmt: skip
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration (TOML).")],
    is_probed: Annotated[
        bool,
        typer.Option("--probe", help="Ask each platform once, and say what came or why not."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check a configuration file and explain every error."""
    from admission.config import describe_errors
    from admission.config.errors import errors_to_json
    from admission.config.load import load_settings

    try:
        settings = load_settings(file, os.environ)
    except ConfigError as fault:
        if not as_json:
            return complain(describe_errors(fault), FAILED)
        answer = {"file": str(file), "ok": False, "errors": errors_to_json(fault)}
        print(json.dumps(answer, indent=2))
        return FAILED
    results = probe_file(settings, with_details=False) if is_probed else []
    probed = {"probes": results} if is_probed else {}
    if as_json:
        print(json.dumps({"file": str(file), "ok": True, "errors": []} | probed, indent=2))
    else:
        _print_warnings(settings)
        _print_memory(settings)
        print(f"{file}: ok")
        print_results(results)
    return OK if all(one["ok"] for one in results) else FAILED


def _print_warnings(settings: "Settings") -> None:
    """What weakens the connections to platforms; on standard error."""
    for name, source in settings.sources.items():
        for warning in source.warnings:
            print(f"warning: [sources.{name}]: {warning}", file=sys.stderr)


def _print_memory(settings: "Settings") -> None:
    """The memory that Redis needs at most; on standard error."""
    from admission.domain.policy.memory import estimate_memory

    zones = settings.zones.values()
    most = estimate_memory((one.max_records, one.max_pools) for one in zones)
    print(f"Redis may need {most // 2**20} MB (max_records, max_pools)", file=sys.stderr)


@command(app, "alive", SERVICE, "admission alive my.toml")
def check_alive(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration (TOML).")],
) -> int:
    """Ask the service of this machine whether it is alive: the health check of a container."""
    from admission.cli.alive import ask_alive
    from admission.config.load import load_settings

    ask_alive(load_settings(file, os.environ).server)
    print("alive")
    return OK


@command(
    app, "demo", PLATFORMS,
    "admission demo                     # guarded by the controller",
    "admission demo --unguarded         # the same dialers, polling the platform themselves",
)  # fmt: skip
def run_demo(
    unguarded: Annotated[
        bool,
        typer.Option(
            "--unguarded", help="The dialers poll QueryResources instead of asking the controller."
        ),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="End after S seconds; else run until Ctrl-C.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: the totals, at the end.")
    ] = False,
) -> int:
    """Show greedy dialers on a simulated platform, live in the terminal."""
    import uvloop

    from admission.demo.main import demo

    environ = dict(os.environ)
    uvloop.run(demo(environ, unguarded=unguarded, seconds=seconds, as_json=as_json))
    return OK


@command(app, "simulate", PLATFORMS, "admission simulate huawei --port 9081")
def simulate(
    platform: Annotated[Platform, typer.Argument(help="The platform to simulate.")],
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Else 9080; for huawei 9081.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all random numbers.")] = 0,
    lax: Annotated[
        bool,
        typer.Option(
            "--lax",
            help="Experience Portal ignores unknown and misplaced elements; Axis refuses them.",
        ),
    ] = False,
) -> int:
    """Run a simulated platform alone, until Ctrl-C."""
    if platform == "huawei":
        from admission.sim.huawei import app as huawei_app
        from admission.sim.huawei.config import HuaweiSettings

        port = huawei_app.DEFAULT_PORT if port is None else port
        huawei_app.run_huawei(HuaweiSettings(seed=seed), host=host, port=port)
    else:
        from admission.sim.experience_portal import app as portal_app
        from admission.sim.experience_portal.config import PortalSettings

        port = portal_app.DEFAULT_PORT if port is None else port
        portal_app.run_portal(PortalSettings(seed=seed, lax=lax), host=host, port=port)
    return OK

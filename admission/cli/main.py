"""The command line: `admission serve | demo | check | simulate | apply | ask | top | ...`.

Exit codes: 0 granted or ok, 1 denied or failed check, 2 usage or configuration, 3 unreachable.
"""

import argparse
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from admission import __version__
from admission.cli import audit, dialer, policy, token, top
from admission.cli.common import EXIT_CODES, add_command
from admission.cli.measure import command as measure
from admission.config.errors import describe_errors, errors_to_json
from admission.config.load import load_settings
from admission.errors import AdmissionError, ConfigError, Unavailable

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is returned."""
    chosen = command_line().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except Unavailable as fault:
        return _complain(fault, UNREACHABLE)
    except ConfigError as fault:
        return _complain(describe_errors(fault), USAGE)
    except AdmissionError as fault:
        return _complain(fault, FAILED)
    except KeyboardInterrupt:
        return 130


def _complain(what: object, code: int) -> int:
    print(f"admission: {what}", file=sys.stderr)
    return code


def command_line() -> argparse.ArgumentParser:
    """Every command, with its arguments and examples."""
    parser = argparse.ArgumentParser(
        prog="admission",
        description="May I launch? Asked before an outbound call is placed.",
        epilog=f"{EXIT_CODES}. Help with examples: admission COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"admission {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    here = (_add_serve, _add_demo, _add_check, _add_simulate, token.add_token)
    for room in (
        here,
        *(one.ADD_COMMANDS for one in (dialer, top, policy, audit, measure)),
    ):
        for add in room:
            add(commands)
    return parser


def _add_serve(commands: Any) -> None:
    serve = add_command(
        commands, "serve", "run the service until Ctrl-C",
        "admission serve                    # the demo: embedded Redis, simulated platform",
        "admission serve my.toml",
        "ADMISSION__SERVER__PORT=9090 admission serve my.toml",
    )  # fmt: skip
    serve.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="configuration (TOML); without: the demo's, with a simulated platform",
    )
    serve.set_defaults(run=_serve)


def _add_demo(commands: Any) -> None:
    text = "greedy dialers against a simulated platform, live in the terminal"
    demo = add_command(
        commands, "demo", text,
        "admission demo                     # guarded by the controller",
        "admission demo --unguarded         # the same dialers, looking for themselves",
    )  # fmt: skip
    demo.add_argument(
        "--unguarded",
        action="store_true",
        help="the dialers look at QueryResources themselves instead of asking",
    )
    demo.add_argument("--seconds", type=float, help="end after so long")
    demo.add_argument("--json", action="store_true", help="print JSON: the totals, at the end")
    demo.set_defaults(run=_demo)


def _add_check(commands: Any) -> None:
    text = "check a configuration file and explain every error"
    check = add_command(commands, "check", text, "admission check my.toml")
    check.add_argument("file", type=Path)
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)


def _add_simulate(commands: Any) -> None:
    text = "run a simulated platform alone"
    simulate = add_command(commands, "simulate", text, "admission simulate huawei --port 9081")
    simulate.add_argument("platform", choices=["experience-portal", "huawei"])
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=int, help="default: 9080, huawei 9081")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.set_defaults(run=_simulate)


def _serve(chosen: argparse.Namespace) -> int:
    from admission.runtime.serve import serve

    _run(serve(chosen.file, dict(os.environ)))
    return OK


def _demo(chosen: argparse.Namespace) -> int:
    from admission.demo.main import demo

    said = {"unguarded": chosen.unguarded, "seconds": chosen.seconds, "as_json": chosen.json}
    _run(demo(dict(os.environ), **said))
    return OK


def _check(chosen: argparse.Namespace) -> int:
    try:
        load_settings(chosen.file, os.environ)
    except ConfigError as fault:
        if not chosen.json:
            return _complain(describe_errors(fault), FAILED)
        print(json.dumps(_checked(chosen.file, errors_to_json(fault)), indent=2))
        return FAILED
    print(json.dumps(_checked(chosen.file, []), indent=2) if chosen.json else f"{chosen.file}: ok")
    return OK


def _checked(file: Path, errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"file": str(file), "ok": not errors, "errors": errors}


def _simulate(chosen: argparse.Namespace) -> int:
    from admission.sim.experience_portal import app as portal_app
    from admission.sim.experience_portal.config import PortalSettings
    from admission.sim.huawei import app as huawei_app
    from admission.sim.huawei.config import HuaweiSettings

    if chosen.platform == "huawei":
        port = huawei_app.DEFAULT_PORT if chosen.port is None else chosen.port
        huawei_app.run_huawei(HuaweiSettings(seed=chosen.seed), host=chosen.host, port=port)
    else:
        port = portal_app.DEFAULT_PORT if chosen.port is None else chosen.port
        portal_app.run_portal(PortalSettings(seed=chosen.seed), host=chosen.host, port=port)
    return OK


def _run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `admission serve | demo | check | simulate | apply | set | pause | ...`.

Exit codes: 0 ok, 1 failed check, 2 usage or configuration, 3 unreachable.
"""

import argparse
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from admission import __version__, cli_policy
from admission.config import describe_errors, load_settings
from admission.errors import AdmissionError, ConfigError, Unavailable

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is returned."""
    chosen = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="admission", description="May I launch? Asked before an outbound call is placed."
    )
    parser.add_argument("--version", action="version", version=f"admission {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_serve, _add_demo, _add_check, _add_simulate, *cli_policy.ADD_COMMANDS):
        add(commands)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve", help="run the service", description="Run the service until Ctrl-C."
    )
    serve.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="configuration (TOML); without: the demo's, with a simulated platform",
    )
    serve.set_defaults(run=_serve)


def _add_demo(commands: Any) -> None:
    text = "greedy dialers against a simulated platform, live in the terminal"
    demo = commands.add_parser("demo", help=text, description=f"{text}. Ctrl-C ends it.")
    demo.add_argument(
        "--unguarded",
        action="store_true",
        help="the dialers look at QueryResources themselves instead of asking",
    )
    demo.add_argument("--seconds", type=float, help="end after so long")
    demo.set_defaults(run=_demo)


def _add_check(commands: Any) -> None:
    text = "check a configuration file and explain every error"
    check = commands.add_parser("check", help=text, description=text)
    check.add_argument("file", type=Path)
    check.set_defaults(run=_check)


def _add_simulate(commands: Any) -> None:
    text = "run a simulated platform alone"
    simulate = commands.add_parser("simulate", help=text, description=text)
    simulate.add_argument("platform", choices=["experience-portal"])
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=int, default=9080)
    simulate.add_argument("--seed", type=int, default=0)
    simulate.set_defaults(run=_simulate)


def _serve(chosen: argparse.Namespace) -> int:
    from admission.serve import serve

    _run(serve(chosen.file, dict(os.environ)))
    return OK


def _demo(chosen: argparse.Namespace) -> int:
    from admission.sim.demo import demo

    _run(demo(dict(os.environ), unguarded=chosen.unguarded, seconds=chosen.seconds))
    return OK


def _check(chosen: argparse.Namespace) -> int:
    try:
        load_settings(chosen.file, os.environ)
    except ConfigError as fault:
        return _complain(describe_errors(fault), FAILED)
    print(f"{chosen.file}: ok")
    return OK


def _simulate(chosen: argparse.Namespace) -> int:
    from admission.sim.portal_app import run_portal
    from admission.sim.portal_config import PortalSettings

    run_portal(PortalSettings(seed=chosen.seed), host=chosen.host, port=chosen.port)
    return OK


def _run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `admission serve | demo | check | simulate | apply | ask | top | ...`."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from admission import __version__
from admission.cli import audit, dialer, local, policy, probe, token, top
from admission.cli.common import (
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    SERVICE,
    UNREACHABLE,
    USAGE,
    complain,
    describe_refusal,
)
from admission.cli.measure import command as measure
from admission.cli.plain_help import PlainHelpGroup
from admission.errors import AdmissionError, CallerError, ConfigError, Unavailable

PROGRAM: Final = "admission"
# Options that had another name before; a mistyped one of these is answered with the new name.
RENAMED_OPTIONS: Final = {
    "--look-ms": "--poll-interval-ms",
    "--quiet-s": "--settle-s",
    "--ring-s": "--launch-timeout-s",
    "--every": "--interval",
    "--times": "--iterations",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args: arguments: without the name of the program; None: those of this process.
    """
    try:
        code = build_command_line().main(arguments, prog_name=PROGRAM, standalone_mode=False)
        return int(code or 0)
    except typer.Abort:  # the end of standard input, where a confirmation was expected
        return FAILED
    except typer.TyperException as fault:
        return _report_usage(fault)
    except Unavailable as fault:
        # A service that answers with another status than 503 is reached, and failed.
        return complain(fault, UNREACHABLE if fault.status == Unavailable.status else FAILED)
    except ConfigError as fault:
        from admission.config import describe_errors

        return complain(describe_errors(fault), USAGE)
    except CallerError as fault:
        return complain(describe_refusal(fault), FAILED)
    except AdmissionError as fault:
        return complain(fault, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def build_command_line() -> TyperGroup:
    """Return the group of all commands, with their arguments and examples."""
    app = typer.Typer(
        name=PROGRAM,
        cls=PlainHelpGroup,
        help="Outbound dialer admission control: ask before an outbound call is placed.",
        epilog=f"{EXIT_CODES}. Help with examples: admission COMMAND --help",
        no_args_is_help=True,
        rich_markup_mode="rich" if _is_terminal() else None,
        callback=_parse_root,
    )
    for module in (local, probe, dialer, policy, audit, top, measure):
        app.add_typer(module.app)
    app.add_typer(token.group, rich_help_panel=SERVICE)
    command_line = get_command(app)
    assert isinstance(command_line, TyperGroup)
    return command_line


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _parse_root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Declare the options of `admission` itself."""


def _is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _report_usage(fault: typer.TyperException) -> int:
    """Print what is wrong with the arguments, and return the exit code."""
    message = fault.format_message()
    if type(fault).__name__ == "NoArgsIsHelpError":
        # The message is the help; typer has printed it already if it renders with rich.
        print(message, end="" if not message else "\n", file=sys.stderr)
        return USAGE
    context = getattr(fault, "ctx", None)
    if context is not None:
        print(context.get_usage(), file=sys.stderr)
        print(f"Try '{context.command_path} --help' for help.", file=sys.stderr)
    option = getattr(fault, "option_name", None)
    if option in RENAMED_OPTIONS:
        message = f"{option} was renamed: use {RENAMED_OPTIONS[option]}"
    return complain(message, USAGE)


if __name__ == "__main__":
    sys.exit(main())

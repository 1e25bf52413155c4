"""What the help of every command has in common: what it does, and lines to copy."""

import argparse
from typing import Any, Final

EXIT_CODES: Final = "exit codes: 0 granted or ok, 1 denied or failed, 2 usage, 3 unreachable"


def add_command(commands: Any, name: str, text: str, *examples: str) -> argparse.ArgumentParser:
    """A command.

    Args:
        text: what it does, without a full stop.
        examples: lines to copy.
    """
    lines = ["examples:", *(f"  {one}" for one in examples), "", EXIT_CODES]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="\n".join(lines if examples else lines[-1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser

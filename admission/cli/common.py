"""What the help of every command has in common: what it does, and lines to copy."""

import argparse
import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from admission.cli.api_client import Api, Place
from admission.errors import ConfigError

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


DEFAULT_URL: Final = "http://127.0.0.1:8080"

URL_ENV, TOKEN_ENV = "ADMISSION_URL", "ADMISSION_TOKEN"

T = TypeVar("T")


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

"""The reference of the command line: every command, its arguments, and lines to copy."""

import argparse
from collections.abc import Iterator

from admission.cli.common import EXIT_CODES
from admission.cli.main import command_line

TOP = f"""\
# Command line

`admission COMMAND --help` says the same. {EXIT_CODES[0].upper()}{EXIT_CODES[1:]}.

Commands that talk to a service take `--url` (else `ADMISSION_URL`), the name of the variable that
has the token (`--token-env`, else `ADMISSION_TOKEN`), and `--json`.

This page is generated (`make docs`) from the commands themselves.
"""
REMOTE = ("url", "token_env", "json")


def page() -> str:
    """The page."""
    return "\n".join([TOP, *_commands("admission", command_line())])


def _commands(name: str, of: argparse.ArgumentParser) -> Iterator[str]:
    """Each command below, and those below it."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from _command(f"{name} {word}", below)
                yield from _commands(f"{name} {word}", below)


def _command(name: str, command: argparse.ArgumentParser) -> Iterator[str]:
    remote = all(any(one.dest == dest for one in command._actions) for dest in REMOTE)
    told = (command.description or "").rstrip(".")
    yield f"## `{name}`\n\n{told[:1].upper()}{told[1:]}.\n"
    rows = [one for one in command._actions if not _is_known(one, remote)]
    if rows:
        yield "| argument | |\n|---|---|"
        yield from (f"| {_words(one)} | {_help(one)} |" for one in rows)
        yield ""
    if remote:
        yield "Talks to a service.\n"
    if lines := [line[2:] for line in (command.epilog or "").splitlines() if line[:2] == "  "]:
        yield "<!-- not run: each command has tests of its own -->\n```sh"
        yield from lines
        yield "```\n"


def _is_known(action: argparse.Action, remote: bool) -> bool:
    known = (argparse._HelpAction, argparse._SubParsersAction)
    return isinstance(action, known) or (remote and action.dest in REMOTE)


def _words(action: argparse.Action) -> str:
    """As it is typed: `--count N`, `ZONE`, `[POOL]`."""
    name = str(action.metavar or action.dest.upper())
    value = "" if action.nargs == 0 else name
    if action.choices is not None:
        value = " \\| ".join(map(str, action.choices))
    if action.option_strings:
        return f"`{' '.join(filter(None, [action.option_strings[-1], value]))}`"
    return f"`[{value}]`" if action.nargs in ("?", "*") else f"`{value}`"


def _help(action: argparse.Action) -> str:
    told = (action.help or "") % {**vars(action), "prog": "admission"}
    return f"{told}{', required' if action.required and action.option_strings else ''}"

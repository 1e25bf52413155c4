"""The reference of the command line, from the description that typer has of every command."""

from collections.abc import Iterator
from typing import Any

from admission.cli.common import CONNECTION, EXIT_CODES
from admission.cli.main import build_command_line

TOP = f"""\
# Command line

`admission COMMAND --help` says the same. {EXIT_CODES[0].upper()}{EXIT_CODES[1:]}.

Commands that send requests to a service take `--url` (else `ADMISSION_URL`) and `--token-env`, the
name of the environment variable that holds the bearer token (else `ADMISSION_TOKEN`).

`admission --install-completion` installs completion for the shell in use. In a pipe, or with
`NO_COLOR`, the output has no colours; in a pipe lines are never wrapped or cut.

This page is generated (`make docs`) from the commands themselves.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([TOP, *_describe_group("admission", build_command_line())])


def _describe_group(name: str, group: Any) -> Iterator[str]:
    """Describe each command of a group, and the commands below it."""
    for word, command in group.commands.items():
        yield from _describe_command(f"{name} {word}", command)
        if hasattr(command, "commands"):
            yield from _describe_group(f"{name} {word}", command)


def _describe_command(name: str, command: Any) -> Iterator[str]:
    yield f"## `{name}`\n\n{command.help}\n"
    panels = [getattr(one, "rich_help_panel", None) for one in command.params]
    rows = [one for one, panel in zip(command.params, panels, strict=True) if panel != CONNECTION]
    if rows:
        yield "| argument | |\n|---|---|"
        yield from (f"| {_format_name(one)} | {_format_help(one)} |" for one in rows)
        yield ""
    if CONNECTION in panels:
        yield "Sends requests to a service.\n"
    if lines := [line[2:] for line in (command.epilog or "").splitlines() if line[:2] == "  "]:
        yield "<!-- not run: each command has tests of its own -->\n```sh"
        yield from lines
        yield "```\n"


def _format_name(parameter: Any) -> str:
    """Return the parameter as a user types it: `--count N`, `ZONE`, `[POOL]`."""
    choices = parameter.type_descriptor.choices if parameter.type_descriptor.is_choice else ()
    values = [getattr(one, "value", one) for one in choices or ()]
    value = " \\| ".join(values) or parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return f"`{value}`" if parameter.required else f"`[{value}]`"
    return f"`{parameter.opts[0]}`" if parameter.is_flag else f"`{parameter.opts[0]} {value}`"


def _format_help(parameter: Any) -> str:
    notes = ["required"] if parameter.required and parameter.param_type_name == "option" else []
    default = getattr(parameter.default, "value", parameter.default)
    if default not in (None, False, ""):
        notes.append(f"default: {default}")
    return " ".join([parameter.help or "", *(f"({note})" for note in notes)]).strip()

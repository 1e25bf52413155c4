"""Help in sections without rich: for pipes, files and terminals that display plain text only.

typer renders help in sections with rich, in boxes as wide as the terminal. Where rich is switched
off (`rich_markup_mode=None`), typer lists all options in one section and refills the examples.
"""

from collections.abc import Iterable
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

SHORT_HELP_MAX: Final = 1000  # characters: the first sentence is wrapped, never cut


class PlainHelpCommand(TyperCommand):
    """A command whose plain help has the sections of the rich help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each section under its heading."""
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples line by line."""
        _write_epilog(self, formatter)


class PlainHelpGroup(TyperGroup):
    """A group of commands whose plain help has the sections of the rich help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options and commands, each section under its heading."""
        _write_parameters(self, ctx, formatter)
        commands = [one for one in self.commands.values() if not one.hidden]
        rows = (
            (
                getattr(one, "rich_help_panel", None) or "Commands",
                (one.name or "", one.get_short_help_str(SHORT_HELP_MAX)),
            )
            for one in commands
        )
        _write_sections(rows, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the epilog line by line."""
        _write_epilog(self, formatter)


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    rows = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            rows.append((getattr(parameter, "rich_help_panel", None) or default, record))
    _write_sections(rows, formatter)


def _write_sections(rows: Iterable[tuple[str, tuple[str, str]]], formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for title, row in rows:
        sections.setdefault(title, []).append(row)
    for title, section in sections.items():
        with formatter.section(title):
            formatter.write_dl(section)


def _write_epilog(command: Any, formatter: Any) -> None:
    if command.epilog:
        formatter.write_paragraph()
        formatter.write(f"{command.epilog}\n")

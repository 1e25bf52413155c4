"""`admission token new`: a token for a caller, and its digest for the configuration."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from admission.cli.common import EXIT_CODES, OK, SERVICE, AsJson, command
from admission.cli.plain_help import PlainHelpGroup
from admission.domain.types import Role
from admission.errors import ConfigError

if TYPE_CHECKING:
    from datetime import date

TOKEN_BYTES: Final = 32  # 256 bits: more than any attacker can try
_EXAMPLE: Final = "admission token new collections-dialer --campaign collections --zone East"

group = typer.Typer(
    name="token",
    cls=PlainHelpGroup,
    rich_help_panel=SERVICE,
    help="Create credentials: a token for a caller, a digest for the configuration.",
    epilog=f"examples:\n  {_EXAMPLE}\n\n{EXIT_CODES}",
    no_args_is_help=True,
)


@group.callback()
def _group() -> None:
    """Keep `new` a command of its own: typer merges a single command into its group."""


@command(
    group, "new", "Commands",
    _EXAMPLE,
    "admission token new board --role viewer --expires 2027-01-01 --json",
)  # fmt: skip
def create_token(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The caller, as logs and the audit name it.")
    ] = "dialer-1",
    role: Annotated[Role, typer.Option(help="The rights of the caller.")] = Role.DIALER,
    campaigns: Annotated[
        list[str] | None,
        typer.Option("--campaign", metavar="CAMPAIGN", help="Repeatable; absent: all campaigns."),
    ] = None,
    zones: Annotated[
        list[str] | None,
        typer.Option("--zone", metavar="ZONE", help="Repeatable; absent: all zones."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE", formats=["%Y-%m-%d"], help="The token is invalid from this day on."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print a new token and its table for the configuration."""
    import hashlib
    import secrets

    token = secrets.token_urlsafe(TOKEN_BYTES)
    fields = {
        "name": name,
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
        "role": role,
        "campaigns": campaigns or None,
        "zones": zones or None,
        "expires": None if expires is None else expires.date(),
    }
    table = {name: value for name, value in fields.items() if value is not None}
    _validate(table)
    if as_json:
        print(json.dumps({"token": token, **table}, indent=2, default=str))
    else:
        print(_format(token, table))
    return OK


def _validate(table: dict[str, Any]) -> None:
    from pydantic import ValidationError

    from admission.config import TokenSettings

    values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    try:
        TokenSettings.model_validate(values)
    except ValidationError as fault:
        errors = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise ConfigError("; ".join(errors)) from None


def _format(token: str, table: dict[str, Any]) -> str:
    return "\n".join(
        (
            "The token is displayed only now. The caller sends it as Authorization: Bearer TOKEN;",
            "the commands read it from the environment variable ADMISSION_TOKEN:",
            "",
            f"  {token}",
            "",
            "The configuration holds its digest only (SIGHUP reads the file again):",
            "",
            "[[auth.tokens]]",
            *(f"{name} = {_format_toml(value)}" for name, value in table.items()),
        )
    )


def _format_toml(value: "str | list[str] | date") -> str:
    # JSON and TOML write strings and lists of strings in the same way.
    if isinstance(value, str | list):
        return json.dumps(value, ensure_ascii=False)
    return value.isoformat()

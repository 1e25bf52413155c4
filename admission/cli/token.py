"""`admission token new`: a token for a caller, and what the configuration keeps of it."""

import argparse
import hashlib
import json
import secrets
from datetime import date
from typing import Any, Final

from pydantic import ValidationError

from admission.cli.common import add_command
from admission.config.settings import TokenSettings
from admission.errors import ConfigError

OK: Final = 0
TOKEN_BYTES: Final = 32  # unguessable: 256 bits
ROLES: Final = ("dialer", "source", "operator", "viewer")


def add_token(commands: Any) -> None:
    """`admission token new`."""
    text = "make credentials: a token to hand out, a digest to configure"
    verbs = add_command(commands, "token", text, _EXAMPLE).add_subparsers(
        required=True, metavar="new"
    )
    new = add_command(
        verbs, "new", "print a new token and its table for the configuration", _EXAMPLE,
        "admission token new board --role viewer --expires 2027-01-01 --json",
    )  # fmt: skip
    new.add_argument("name", nargs="?", default="dialer-1", help="whom it is for (dialer-1)")
    new.add_argument("--role", choices=ROLES, default="dialer", help="dialer unless said otherwise")
    new.add_argument("--campaign", dest="campaigns", action="append", help="absent: all")
    new.add_argument("--zone", dest="zones", action="append", help="absent: all")
    new.add_argument("--expires", type=date.fromisoformat, metavar="DATE", help="void from then on")
    new.add_argument("--json", action="store_true", help="print JSON")
    new.set_defaults(run=_new)


_EXAMPLE: Final = "admission token new collections-dialer --campaign collections --zone East"


def _new(chosen: argparse.Namespace) -> int:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    digest = hashlib.sha256(token.encode()).hexdigest()
    said = {name: getattr(chosen, name) for name in ("role", "campaigns", "zones", "expires")}
    table = {"name": chosen.name, "sha256": digest, **said}
    kept = {name: value for name, value in table.items() if value is not None}
    _check(kept)
    if chosen.json:
        print(json.dumps({"token": token, **kept}, indent=2, default=str))
    else:
        print(_text(token, kept))
    return OK


def _check(table: dict[str, Any]) -> None:
    try:
        TokenSettings.model_validate({k: _frozen(v) for k, v in table.items()})
    except ValidationError as fault:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise ConfigError(wrong) from None


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(token: str, table: dict[str, Any]) -> str:
    lines = [f"{name} = {_toml(value)}" for name, value in table.items()]
    return "\n".join(
        (
            "The token, shown this once; its holder sends it as Authorization: Bearer TOKEN,",
            "the commands take it from the environment variable ADMISSION_TOKEN:",
            "",
            f"  {token}",
            "",
            "For the configuration, which keeps only its digest (SIGHUP reads it again):",
            "",
            "[[auth.tokens]]",
            *lines,
        )
    )


def _toml(value: Any) -> str:
    """A string, a list of them, or a date: JSON and TOML write the first two alike."""
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)

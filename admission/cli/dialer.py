"""The commands that do by hand what a dialer does: ask, reservations, end.

Exit codes: 0 granted or ok, 1 denied or refused, 2 usage, 3 unreachable.
"""

import argparse
from typing import Any, Final
from urllib.parse import quote, urlencode

from admission.cli.api_client import Api
from admission.cli.common import command, show, talk
from admission.cli.formatting import decision_text, reservations_text
from admission.domain.outcomes import Outcome

GRANTED, DENIED, OK = 0, 1, 0
STATES: Final = ("live", "ended", "expired")
_FIELDS: Final = (
    "campaign", "zone", "channel", "count", "min_count", "application", "mpp", "request_id",
    "wait_ms", "owner",
)  # fmt: skip


def add_ask(commands: Any) -> None:
    """`admission ask CAMPAIGN`."""
    parser = command(
        commands, "ask", "may I launch? Takes what it is granted: end it, or add --dry-run", _ask,
        "admission ask collections --zone East --channel sip",
        "admission ask collections --count 10 --min-count 5 --wait-ms 5000",
        "admission ask collections --explain          # every pool and its verdict",
    )  # fmt: skip
    parser.add_argument("campaign")
    for name in ("zone", "channel", "application", "mpp", "owner"):
        parser.add_argument(f"--{name}", help="else the service's default")
    parser.add_argument("--count", type=int, metavar="N", help="launches wanted (1)")
    parser.add_argument("--min-count", type=int, metavar="N", help="fewest worth having (1)")
    parser.add_argument("--pool", dest="pools", action="append", help="a further pool to hold")
    parser.add_argument("--wait-ms", type=int, metavar="MS", help="wait for room so long")
    parser.add_argument("--request-id", help="repeat-safe key")
    parser.add_argument("--dry-run", action="store_true", help="decide, take nothing")
    parser.add_argument("--explain", action="store_true", help="a dry run that shows every pool")


def add_reservations(commands: Any) -> None:
    """`admission reservations [ZONE]`."""
    parser = command(
        commands, "reservations", "list who holds what", _reservations,
        "admission reservations East --state live",
        "admission reservations East --owner dialer-1 --json",
    )  # fmt: skip
    parser.add_argument("zone", nargs="?", help="else the default zone")
    parser.add_argument("--campaign")
    parser.add_argument("--owner", help="which dialer process")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (100)")


def add_end(commands: Any) -> None:
    """`admission end ID`."""
    parser = command(
        commands, "end", "end a reservation: its call is over, or was never launched", _end,
        "admission end East~x7Yk2mPq0aZ",
        "admission end East~x7Yk2mPq0aZ --outcome not_launched",
    )  # fmt: skip
    parser.add_argument("id")
    outcomes = [one.value for one in Outcome]
    text = "completed unless said otherwise; unknown: the call may be up, or come to be"
    parser.add_argument("--outcome", choices=outcomes, default="completed", help=text)


def _ask(chosen: argparse.Namespace) -> int:
    said = {name: getattr(chosen, name) for name in _FIELDS}
    body: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    body |= {"pools": chosen.pools} if chosen.pools else {}
    body |= {"dry_run": True} if chosen.dry_run or chosen.explain else {}
    body |= {"explain": True} if chosen.explain else {}
    found = talk(chosen, lambda api: api.call("POST", "/v1/admissions", body=body))
    show(chosen, found, decision_text(found))
    return GRANTED if found["decision"] == "grant" else DENIED


def _reservations(chosen: argparse.Namespace) -> int:
    found = talk(chosen, lambda api: _pages(api, chosen))
    show(chosen, found, reservations_text(found))
    return OK


async def _pages(api: Api, chosen: argparse.Namespace) -> dict[str, Any]:
    """Pages until there are enough; a page may be empty and not be the last."""
    names = ("zone", "campaign", "owner", "state")
    query = {name: getattr(chosen, name) for name in names if getattr(chosen, name)}
    rows: list[dict[str, Any]] = []
    while True:
        left = max(1, min(1000, chosen.limit - len(rows)))
        page = await api.call("GET", f"/v1/reservations?{urlencode(query | {'limit': left})}")
        rows += page["reservations"]
        if page["cursor"] is None or len(rows) >= chosen.limit:
            return page | {"reservations": rows[: chosen.limit]}
        query["cursor"] = page["cursor"]


def _end(chosen: argparse.Namespace) -> int:
    path = f"/v1/reservations/{quote(chosen.id, safe='~')}/end"
    found = talk(chosen, lambda api: api.call("POST", path, body={"outcome": chosen.outcome}))
    before = ", as before" if found["repeated"] else ""
    show(chosen, found, f"{found['id']}: {found['state']}{before}")
    return OK


ADD_COMMANDS: Final = (add_ask, add_reservations, add_end)

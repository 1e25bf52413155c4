"""`admission audit ZONE`: who did what by hand."""

import argparse
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from admission.cli.common import command, show, talk
from admission.cli.formatting import columns


def add_audit(commands: Any) -> None:
    """`admission audit ZONE`."""
    parser = command(
        commands, "audit", "list what was done by hand, and by whom; the newest first", _audit,
        "admission audit East",
        "admission audit East --limit 1000 --json",
    )  # fmt: skip
    parser.add_argument("zone")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (20)")


def _audit(chosen: argparse.Namespace) -> int:
    path = f"/v1/zones/{quote(chosen.zone)}/audit?{urlencode({'limit': chosen.limit})}"
    found = talk(chosen, lambda api: api.call("GET", path))
    show(chosen, found, audit_text(found))
    return 0


def audit_text(found: dict[str, Any]) -> str:
    """A table; the times are the zone's."""
    rows = [
        [
            _when(one["time"]),
            one["actor"],
            one["action"],
            one["target"] or "the zone",
            _detail(one["detail"]),
        ]
        for one in found["entries"]
    ]
    return "\n".join(columns([["WHEN (UTC)", "BY", "DID", "ON", "DETAIL"], *rows]))


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(" ", "seconds")[:-6]


def _detail(detail: dict[str, Any]) -> str:
    # A digest is for programs.
    return ", ".join(f"{name} {value}" for name, value in detail.items() if name != "digest")


ADD_COMMANDS: Final = (add_audit,)

"""`admission audit`: the changes that operators made to a zone."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from admission.cli.common import (
    DEFAULT_URL,
    OK,
    OPERATIONS,
    TOKEN_ENV,
    AsJson,
    Remote,
    TokenEnv,
    Url,
    command,
    show,
    zone_path,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@command(
    app, "audit", OPERATIONS,
    "admission audit East",
    "admission audit East --limit 1000 --json",
)  # fmt: skip
def audit(
    zone: Annotated[str, typer.Argument(metavar="ZONE", help="The zone.")],
    limit: Annotated[int, typer.Option(metavar="N", help="At most N entries.")] = 20,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """List the changes that operators made, the newest first."""
    path = f"{zone_path(zone, 'audit')}?{urlencode({'limit': limit})}"
    page = Remote(url=url, token_env=token_env).request("GET", path)
    show(page, render_audit, as_json=as_json)
    return OK


def render_audit(page: dict[str, Any]) -> "RenderableType":
    """Return a table of audit entries; the times are the zone's."""
    from admission.cli.output import make_table

    table = make_table("TIME (UTC)", "ACTOR", "ACTION", "TARGET", "DETAIL")
    for one in page["entries"]:
        target, detail = one["target"] or "the zone", _format_detail(one["detail"])
        table.add_row(_format_time(one["time"]), one["actor"], one["action"], target, detail)
    return table


def _format_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(" ", "seconds")[:-6]


def _format_detail(detail: dict[str, Any]) -> str:
    # The digest of a policy serves programs: --json has it.
    return ", ".join(f"{name} {value}" for name, value in detail.items() if name != "digest")

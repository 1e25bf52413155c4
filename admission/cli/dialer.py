"""Commands that send by hand the requests of a dialer: ask, reservations, end."""

from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlencode

import typer

from admission.cli.common import (
    DEFAULT_URL,
    DENIED,
    DIALER,
    GRANTED,
    OK,
    TIMEOUT_S,
    TOKEN_ENV,
    Api,
    AsJson,
    Remote,
    TokenEnv,
    Url,
    command,
    show,
)
from admission.domain import Outcome

app = typer.Typer()

PAGE_MAX: Final = 1000  # reservations of one response (api.md)
State: TypeAlias = Literal["live", "ended", "expired"]


def _option(name: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Request")


Zone: TypeAlias = Annotated[
    str | None, _option("--zone", "Else the default zone of the service.", "ZONE")
]
Channel: TypeAlias = Annotated[
    str | None, _option("--channel", "Else the zone's first channel.", "CHANNEL")
]
Application: TypeAlias = Annotated[
    str | None, _option("--application", "The application to launch.", "NAME")
]
Mpp: TypeAlias = Annotated[
    str | None, _option("--mpp", "The MPP that will place the calls.", "MPP")
]
Owner: TypeAlias = Annotated[
    str | None, _option("--owner", "The dialer process, to find its reservations later.", "OWNER")
]
Count: TypeAlias = Annotated[int | None, _option("--count", "Launches wanted (1).", "N")]
MinCount: TypeAlias = Annotated[
    int | None, _option("--min-count", "Deny rather than grant fewer launches (1).", "N")
]
Pools: TypeAlias = Annotated[
    list[str] | None, _option("--pool", "A further pool to reserve; repeatable.", "POOL")
]
WaitMs: TypeAlias = Annotated[
    int | None, _option("--wait-ms", "Wait up to MS milliseconds for room.", "MS")
]
RequestId: TypeAlias = Annotated[
    str | None, _option("--request-id", "Idempotency key: a repeat has the same answer.", "ID")
]
DryRun: TypeAlias = Annotated[bool, _option("--dry-run", "Decide, reserve nothing.")]
Explain: TypeAlias = Annotated[
    bool, _option("--explain", "A dry run that displays the verdict of every pool.")
]


@command(
    app, "ask", DIALER,
    "admission ask collections --zone East --channel sip",
    "admission ask collections --count 10 --min-count 5 --wait-ms 5000",
    "admission ask collections --explain          # every pool and its verdict",
)  # fmt: skip
def ask(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign that dials.")],
    zone: Zone = None,
    channel: Channel = None,
    application: Application = None,
    mpp: Mpp = None,
    owner: Owner = None,
    count: Count = None,
    min_count: MinCount = None,
    pools: Pools = None,
    wait_ms: WaitMs = None,
    request_id: RequestId = None,
    dry_run: DryRun = False,
    explain: Explain = False,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """Ask whether a campaign may launch. Reserves what is granted: end it, or add --dry-run."""
    fields = {
        "campaign": campaign,
        "zone": zone,
        "channel": channel,
        "application": application,
        "mpp": mpp,
        "owner": owner,
        "count": count,
        "min_count": min_count,
        "pools": pools or None,
        "wait_ms": wait_ms,
        "request_id": request_id,
        "dry_run": dry_run or explain or None,
        "explain": explain or None,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    timeout_s = TIMEOUT_S + max(0, wait_ms or 0) / 1000
    remote = Remote(url=url, token_env=token_env)
    decision = remote.request("POST", "/v1/admissions", body, timeout_s=timeout_s)
    from admission.cli.formatting import render_decision

    show(decision, render_decision, as_json=as_json)
    return GRANTED if decision["decision"] == "grant" else DENIED


@command(
    app, "reservations", DIALER,
    "admission reservations East --state live",
    "admission reservations East --owner dialer-1 --json",
)  # fmt: skip
def list_reservations(
    zone: Annotated[
        str | None, typer.Argument(metavar="ZONE", help="Else the default zone of the service.")
    ] = None,
    campaign: Annotated[str | None, typer.Option(metavar="CAMPAIGN", help="Of a campaign.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="OWNER", help="Of a dialer process.")] = None,
    state: Annotated[State | None, typer.Option(help="In this state.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most N reservations.")] = 100,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """List reservations: campaign, owner and age."""
    filters = {"zone": zone, "campaign": campaign, "owner": owner, "state": state}
    query = {name: value for name, value in filters.items() if value}
    page = Remote(url=url, token_env=token_env).run(lambda api: _fetch_pages(api, query, limit))
    from admission.cli.formatting import render_reservations

    show(page, render_reservations, as_json=as_json)
    return OK


@command(
    app, "end", DIALER,
    "admission end East~x7Yk2mPq0aZ",
    "admission end East~x7Yk2mPq0aZ --outcome not_launched",
)  # fmt: skip
def end(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the reservation.")],
    outcome: Annotated[
        Outcome, typer.Option(help="With unknown, the call may still be up, or be connected later.")
    ] = Outcome.COMPLETED,
    url: Url = DEFAULT_URL,
    token_env: TokenEnv = TOKEN_ENV,
    as_json: AsJson = False,
) -> int:
    """End a reservation: its call is over, or was never launched."""
    path = f"/v1/reservations/{quote(id, safe='~')}/end"
    remote = Remote(url=url, token_env=token_env)
    ended = remote.request("POST", path, {"outcome": outcome.value})
    repeated = ", as before" if ended["repeated"] else ""
    show(ended, lambda one: f"{one['id']}: {one['state']}{repeated}", as_json=as_json)
    return OK


async def _fetch_pages(api: Api, query: dict[str, str], limit: int) -> dict[str, Any]:
    """Fetch pages until there are enough reservations; an empty page need not be the last."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        size = {"limit": max(1, min(PAGE_MAX, limit - len(rows)))}
        page = await api.request("GET", f"/v1/reservations?{urlencode(query | size | cursor)}")
        rows += page["reservations"]
        if page["cursor"] is None or len(rows) >= limit:
            return page | {"reservations": rows[:limit]}
        cursor = {"cursor": page["cursor"]}

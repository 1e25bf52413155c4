"""The client of a dialer: ask, hold, report. One for a process, for all of its calls."""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack

from admission.client import answers
from admission.client.answers import Denied, Listed
from admission.client.errors import NotAdmitted
from admission.client.grant import Grant, Granted
from admission.client.grant_registry import GrantRegistry
from admission.client.transport import Call, Reply, Transport
from admission.client.zone_clock import Stopwatch
from admission.domain.outcomes import Outcome
from admission.domain.types import WAIT_MS_MAX
from admission.errors import Unavailable

ASKS_AT_ONCE_MAX: Final = 1000  # one that waits for room keeps its connection
REPORTS_AT_ONCE_MAX: Final = 50
LATE_MAX: Final = 3  # grants of one admission that may come too late, however little its patience
NO_OPERATOR_S: Final = 5.0  # where the service cannot say when it is worth asking again
PAGE: Final = 500


class AskOptions(TypedDict, total=False):
    """What may be said beside the campaign: the fields of api.md, by their names.

    Absent: the service's defaults. Durations are ms.
    """

    zone: str
    channel: str
    request_id: str
    count: int
    min_count: int
    application: str
    mpp: str
    pools: Sequence[str]
    wait_ms: int
    owner: str
    dry_run: bool
    explain: bool


class AdmissionClient:
    """Asks one service, and keeps what it grants.

    Use it as `async with AdmissionClient(url) as client:`. It may be used by many tasks at once.

    Args:
        url: of the service, such as `http://127.0.0.1:8080`.
        token: of a dialer; empty: none is needed.
        owner: which dialer process this is, to list its reservations after a restart.
        timeout_s: of one try, beside the time that an ask waits for room.
        patience_s: for an answer, whatever it is: so long a request is repeated.
        close_s: how long closing waits for reports that are on their way.
        tls: for https; None: the system's authorities.
        stopwatch: monotonic seconds.

    Raises:
        ConfigError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        owner: str | None = None,
        timeout_s: float = 5.0,
        patience_s: float = 10.0,
        close_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
        stopwatch: Stopwatch = time.monotonic,
    ) -> None:
        def transport(connections_max: int) -> Transport:
            return Transport(
                url, token=token, tls=tls, stopwatch=stopwatch, connections_max=connections_max
            )

        self._owner = owner
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._close_s = close_s
        self._stopwatch = stopwatch
        # Connections of their own: asks that wait for room must not hold up a report.
        self._asks, self._reports = transport(ASKS_AT_ONCE_MAX), transport(REPORTS_AT_ONCE_MAX)
        self._registry = GrantRegistry(self._reports, stopwatch)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._asks)
        await self._stack.enter_async_context(self._reports)
        self._registry.open()
        self._stack.push_async_callback(self._registry.close, self._close_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def admission(
        self, campaign: str, *, patience_s: float = 0.0, **options: Unpack[AskOptions]
    ) -> AsyncIterator[Grant]:
        """One launch: asks, and in the block there is a grant, which ends when the block does.

        Args:
            campaign: who asks.
            patience_s: keep asking for so long, waiting in the service's queue; 0: ask once.
            options: as of `ask`, but for `count`, which is one, and `dry_run`.

        Raises:
            NotAdmitted: it was denied to the end.
            Unavailable, CallerError: as `ask`.
        """
        async with await self.granted(campaign, patience_s, options) as grant:
            yield grant

    async def ask(self, campaign: str, **options: Unpack[AskOptions]) -> Granted | Denied:
        """May I launch? Repeated until it is answered: the same request is decided once.

        Each of the grants is its caller's to end: `async with grant:` does.

        Raises:
            Unavailable: nobody answered for some seconds; do not launch.
            CallerError: it is refused: unknown campaign, wrong field, no such right, too fast.
        """
        body: dict[str, Any] = {"campaign": campaign, "request_id": f"c-{secrets.token_hex(12)}"}
        body |= {"owner": self._owner} if self._owner else {}
        body |= options
        pools = list(body.pop("pools", None) or ())
        call = Call(
            method="POST",
            path="/v1/admissions",
            timeout_s=self._timeout_s + body.get("wait_ms", 0) / 1000,
            patience_s=self._patience_s,
            body=body | ({"pools": pools} if pools else {}),
        )
        return self._registry.decision(await self._asks.call(call), pools)

    async def reservations(
        self, zone: str, *, campaign: str = "", owner: str = "", state: str = "live"
    ) -> AsyncIterator[Listed]:
        """What the service holds, page by page; empty words: whatever.

        Args:
            owner: as it was said when asking; a dialer that restarted finds its calls by it.
            state: live, ended or expired.

        Raises:
            Unavailable, CallerError.
        """
        params = {"zone": zone, "limit": str(PAGE)}
        params |= {"campaign": campaign} if campaign else {}
        params |= {"owner": owner} if owner else {}
        params |= {"state": state} if state else {}
        while True:
            page = (await self._get("/v1/reservations", params)).body
            for one in page["reservations"]:
                yield answers.listed_of(zone, one)
            if page.get("cursor") is None:
                return
            params["cursor"] = page["cursor"]

    def take_up(self, listed: Listed) -> Grant:
        """Hold a reservation that an earlier process was granted; too late to launch it."""
        return self._registry.take_up(listed)

    async def limit(self, zone: str, pool: str, limit: int, *, ttl_ms: int) -> int:
        """Limit a campaign for a while, never above its policy: pacing by free agents.

        Args:
            pool: such as `campaign:collections`.
            ttl_ms: it holds so long unless it is said again.

        Returns: the limit that counts now.

        Raises:
            Unavailable, CallerError.
        """
        call = Call(
            method="PUT",
            path=f"/v1/zones/{zone}/pools/{pool}/limit",
            timeout_s=self._timeout_s,
            patience_s=min(self._patience_s, ttl_ms / 1000),
            body={"limit": limit, "ttl_ms": ttl_ms},
        )
        return int((await self._asks.call(call)).body["limit"])

    async def _get(self, path: str, params: dict[str, str]) -> Reply:
        call = Call(
            method="GET",
            path=path,
            timeout_s=self._timeout_s,
            patience_s=self._patience_s,
            params=params,
        )
        return await self._asks.call(call)

    async def granted(self, campaign: str, patience_s: float, options: AskOptions) -> Grant:
        """What `admission` holds in its block, for whoever has no block: it is theirs to end."""
        if wrong := {"count", "min_count", "dry_run"} & set(options):
            raise ValueError(f"one launch is one grant: use ask() for {', '.join(sorted(wrong))}")
        until, late = self._stopwatch() + patience_s, 0
        while late < LATE_MAX or self._stopwatch() < until:
            left_s = max(0.0, until - self._stopwatch())
            wait_ms = options.get("wait_ms", min(WAIT_MS_MAX, int(left_s * 1000)))
            answer = await self.ask(campaign, **options | {"wait_ms": wait_ms})
            if isinstance(answer, Granted):
                if grant := _in_time(answer):
                    return grant
                late += 1
            elif self._stopwatch() >= until:
                raise NotAdmitted(answer)
            else:
                await asyncio.sleep(self._pause_s(answer, until))
        raise Unavailable(f"{late} grants came too late to be launched")

    def _pause_s(self, answer: Denied, until: float) -> float:
        again_ms = answer.retry_after_ms
        told_s = NO_OPERATOR_S if again_ms is None else again_ms / 1000
        return max(0.0, min(told_s, until - self._stopwatch()))


def _in_time(answer: Granted) -> Grant | None:
    """Its grant; None: it came too late, and the port is free for whoever asks next."""
    if answer.grants and not answer.grants[0].late:
        return answer.grants[0]
    for grant in answer.grants:
        grant.ended(Outcome.NOT_LAUNCHED)
    return None

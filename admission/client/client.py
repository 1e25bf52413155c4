"""The client of a dialer. One client serves all calls of a process."""

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
from admission.domain import Outcome
from admission.domain.types import WAIT_MS_MAX
from admission.errors import Unavailable

CONCURRENT_REQUESTS_MAX: Final = 1000  # a request that waits for room occupies its connection
CONCURRENT_REPORTS_MAX: Final = 50
LATE_GRANTS_MAX: Final = 3  # of one admission, even without patience: the network may be slow
OPERATOR_PAUSE_S: Final = 5.0  # if the answer says that only an operator can help
PAGE_SIZE: Final = 500


class AskOptions(TypedDict, total=False):
    """The optional fields of an admission request, as api.md names them.

    Absent fields have the defaults of the service. Durations are in ms.

    Example:
        `options: AskOptions = {"zone": "East", "channel": "sip", "wait_ms": 5000}`
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
    """Requests launches from one service, and renews what it grants.

    Many tasks may use a client concurrently.

    Args:
        url: of the service, such as `http://127.0.0.1:8080`.
        token: bearer token of a dialer; empty: no credentials are sent.
        owner: identifies this dialer process, to find its reservations after a restart.
        timeout_s: of one attempt, beside the time that a request waits for room.
        patience_s: a request without an answer is repeated for this time.
        close_s: closing waits so long for reports on their way.
        tls: for https; None: the certificate authorities of the system.
        stopwatch: monotonic seconds.

    Raises:
        ConfigError: the URL is not an http or https URL.

    Example:
        ```python
        async with AdmissionClient("http://127.0.0.1:8080") as client:
            async with client.admission("collections", zone="East") as grant:
                ...
        ```
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
        def open_transport(connections_max: int) -> Transport:
            return Transport(
                url, token=token, tls=tls, stopwatch=stopwatch, connections_max=connections_max
            )

        self._owner = owner
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._close_s = close_s
        self._stopwatch = stopwatch
        # Separate connections: requests that wait for room must not delay a report.
        self._requests = open_transport(CONCURRENT_REQUESTS_MAX)
        self._reports = open_transport(CONCURRENT_REPORTS_MAX)
        self._registry = GrantRegistry(self._reports, stopwatch)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._requests)
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
        """Request one launch; the grant ends with the block.

        Args:
            campaign: that dials.
            patience_s: ask again, or wait in the queue of the service, for this time; 0: ask once.
            options: as of `ask`, without `count`, `min_count` and `dry_run`.

        Raises:
            NotAdmitted: the launch was denied until the patience was over.
            Unavailable, CallerError: as `ask`.
        """
        async with await self.request_grant(campaign, patience_s, options) as grant:
            yield grant

    async def ask(self, campaign: str, **options: Unpack[AskOptions]) -> Granted | Denied:
        """Request launches. A repeated request is decided once.

        The caller must end each grant: `async with grant:` does.

        Raises:
            Unavailable: no answer within `patience_s`; do not launch.
            CallerError: the request is refused: unknown campaign, invalid field, missing right,
                rate limit.
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
        return self._registry.read_decision(await self._requests.call(call), pools)

    async def reservations(
        self, zone: str, *, campaign: str = "", owner: str = "", state: str = "live"
    ) -> AsyncIterator[Listed]:
        """List reservations, page by page. Empty filters match all reservations.

        Args:
            owner: of the requests; a dialer that restarted finds its calls by it.
            state: live, ended or expired.

        Raises:
            Unavailable, CallerError.
        """
        params = {"zone": zone, "limit": str(PAGE_SIZE)}
        params |= {"campaign": campaign} if campaign else {}
        params |= {"owner": owner} if owner else {}
        params |= {"state": state} if state else {}
        while True:
            page = (await self._get("/v1/reservations", params)).body
            for one in page["reservations"]:
                yield answers.read_listed(zone, one)
            if page.get("cursor") is None:
                return
            params["cursor"] = page["cursor"]

    def take_up(self, listed: Listed) -> Grant:
        """Renew and report a reservation of an earlier process. It is too late to launch it."""
        return self._registry.take_up(listed)

    async def limit(self, zone: str, pool: str, limit: int, *, ttl_ms: int) -> int:
        """Set a temporary limit of a campaign, never above its policy: pacing by free agents.

        Args:
            pool: such as `campaign:collections`.
            ttl_ms: time to live of the limit, in ms.

        Returns: the limit in force.

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
        return int((await self._requests.call(call)).body["limit"])

    async def _get(self, path: str, params: dict[str, str]) -> Reply:
        call = Call(
            method="GET",
            path=path,
            timeout_s=self._timeout_s,
            patience_s=self._patience_s,
            params=params,
        )
        return await self._requests.call(call)

    async def request_grant(self, campaign: str, patience_s: float, options: AskOptions) -> Grant:
        """Request one grant, as `admission` does. The caller must end it."""
        if wrong := {"count", "min_count", "dry_run"} & set(options):
            raise ValueError(f"one launch is one grant: use ask() for {', '.join(sorted(wrong))}")
        until, late = self._stopwatch() + patience_s, 0
        while late < LATE_GRANTS_MAX or self._stopwatch() < until:
            left_s = max(0.0, until - self._stopwatch())
            wait_ms = options.get("wait_ms", min(WAIT_MS_MAX, int(left_s * 1000)))
            answer = await self.ask(campaign, **options | {"wait_ms": wait_ms})
            if isinstance(answer, Granted):
                if grant := _take_grant(answer):
                    return grant
                late += 1
            elif self._stopwatch() >= until:
                raise NotAdmitted(answer)
            else:
                await asyncio.sleep(self._pause_s(answer, until))
        raise Unavailable(f"{late} grants arrived too late to be launched")

    def _pause_s(self, answer: Denied, until: float) -> float:
        again_ms = answer.retry_after_ms
        pause_s = OPERATOR_PAUSE_S if again_ms is None else again_ms / 1000
        return max(0.0, min(pause_s, until - self._stopwatch()))


def _take_grant(answer: Granted) -> Grant | None:
    """Return the grant; None: it arrived too late to launch, and is given back."""
    if answer.grants and not answer.grants[0].late:
        return answer.grants[0]
    for grant in answer.grants:
        grant.ended(Outcome.NOT_LAUNCHED)
    return None

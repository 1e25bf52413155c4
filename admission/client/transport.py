"""JSON requests to the service, repeated until the service answers or the time is up.

Every request may be sent twice: an admission request carries its request_id, a report the id of its
reservation.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_before_delay,
    wait_random_exponential,
)

from admission.client.errors import read_fault
from admission.client.zone_clock import Stopwatch
from admission.errors import ConfigError, TooFast, Unavailable

CONNECT_TIMEOUT_S: Final = 2.0
# Exponential back-off with full jitter: the first pause is 0.05 s on average, then twice as long
# (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0
# Shorter than the idle time-outs of common servers and balancers (5 s in Node.js, 75 s in nginx).
KEEP_ALIVE_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response with status 200.

    Args:
        body: its JSON object.
        sent_at, arrived_at: of the stopwatch, in seconds: of the request and of the response.

    Example:
        `Reply(body={"now": 1}, sent_at=0.0, arrived_at=0.02)`
    """

    body: dict[str, Any]
    sent_at: float
    arrived_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request.

    Args:
        timeout_s: of one attempt.
        patience_s: for repeated attempts; 0: one attempt.
        body: sent as JSON; None: no body.

    Example:
        `Call(method="GET", path="/v1/zones", timeout_s=5.0)`
    """

    method: str
    path: str
    timeout_s: float
    patience_s: float = 0.0
    body: Any = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None


class Transport:
    """The connections to one service.

    Args:
        url: its base URL.
        token: bearer token; empty: no credentials are sent.
        tls: for https; None: the certificate authorities of the system.
        stopwatch: monotonic seconds.
        connections_max: further requests wait for a free connection.

    Attributes:
        url: without a trailing slash.

    Raises:
        ConfigError: the URL is not an http or https URL.

    Example:
        `async with Transport("http://127.0.0.1:8080") as transport:`
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        tls: ssl.SSLContext | None = None,
        stopwatch: Stopwatch = time.monotonic,
        connections_max: int = 10,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"{url}: is not a URL such as http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls = tls
        self._stopwatch = stopwatch
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(
                limit=self._connections_max,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=True if self._tls is None else self._tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, call: Call) -> Reply:
        """Send a request, and repeat it while the service is unavailable and patience is left.

        Raises:
            Unavailable, TooFast: the last attempt failed so.
            CallerError: the service refused the request.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type((Unavailable, TooFast)),
            stop=stop_before_delay(call.patience_s),
            wait=_choose_pause_s,
            sleep=asyncio.sleep,
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                return await self._exchange(call)
        raise AssertionError("tenacity ends with a response or an exception")

    async def _exchange(self, call: Call) -> Reply:
        if self._session is None:
            raise Unavailable("this client is not open: use it with `async with`")
        sent_at = self._stopwatch()
        try:
            async with self._session.request(
                call.method,
                self.url + call.path,
                json=call.body,
                params=call.params,
                headers=call.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            ) as answer:
                raw = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as fault:
            raise self._describe_unreachable(fault) from None
        arrived_at = self._stopwatch()
        body = _parse_object(raw)
        if body is None and answer.status < 500 and answer.status != TooFast.status:
            # Another server: a page of it with status 404 must not be read as "no reservation".
            raise Unavailable(f"{self.url} does not talk like this service")
        if body is None or answer.status != 200:
            raise read_fault(answer.status, body or {}, answer.headers.get("Retry-After"))
        return Reply(body=body, sent_at=sent_at, arrived_at=arrived_at)

    def _describe_unreachable(self, fault: Exception) -> Unavailable:
        reason = str(fault) or type(fault).__name__
        return Unavailable(f"{self.url} cannot be reached: {reason}", retry_after_s=0.0)


def _parse_object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


_choose_jitter_s = wait_random_exponential(multiplier=PAUSE_S, max=PAUSE_S_MAX)


def _choose_pause_s(state: RetryCallState) -> float:
    """At least Retry-After, plus a random time: the dialers do not return all at once."""
    fault = state.outcome.exception() if state.outcome else None
    least_s = fault.retry_after_s if isinstance(fault, (Unavailable, TooFast)) else 0.0
    return least_s + _choose_jitter_s(state)

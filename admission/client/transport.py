"""One JSON exchange with the service, and the same again until it is answered or time is up.

Everything that is sent may be sent twice: an ask carries its request_id, a report its reservation.
"""

import asyncio
import json
import ssl
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

from admission.client.errors import fault_of
from admission.client.zone_clock import Stopwatch
from admission.errors import AdmissionError, ConfigError, TooFast, Unavailable

CONNECT_TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 0.1  # before the first repetition, on average half of it; then twice as long …
PAUSE_S_MAX: Final = 5.0
# Shorter than the time after which common servers and balancers drop an idle connection.
KEEP_ALIVE_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with status 200: its JSON, and when the stopwatch saw it sent for and arrive."""

    body: dict[str, Any]
    sent_at: float
    arrived_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request. `timeout_s`: of one try; `patience_s`: for repetitions, 0: one try."""

    method: str
    path: str
    timeout_s: float
    patience_s: float = 0.0
    body: Any = None
    params: Mapping[str, str] | None = None


class Transport:
    """The connections to one service.

    Args:
        url: its base URL.
        token: to show; empty: none.
        tls: for https; None: the system's authorities.
        stopwatch: monotonic seconds.
        connections_max: more requests at once wait for their turn.

    Attributes:
        url: without a slash at its end.

    Raises:
        ConfigError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        tls: ssl.SSLContext | None,
        stopwatch: Stopwatch,
        connections_max: int,
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
        """Send it, again and again while nobody answers and there is patience.

        Raises:
            Unavailable, TooFast: until the end. CallerError: it is refused.
        """
        tries = AsyncRetrying(
            retry=retry_if_exception_type((Unavailable, TooFast)),
            stop=stop_before_delay(call.patience_s),
            wait=_pause,
            sleep=asyncio.sleep,
            reraise=True,
        )
        async for one in tries:
            with one:
                return await self._exchange(call)
        raise AssertionError("tenacity ends by an answer or an exception")

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
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            ) as answer:
                raw = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as fault:
            raise self._unreachable(fault) from None
        arrived_at = self._stopwatch()
        body = _object(raw)
        if answer.status != 200:
            raise fault_of(answer.status, body or {}, answer.headers.get("Retry-After"))
        if body is None:
            raise Unavailable(f"{self.url} does not talk like this service")
        return Reply(body=body, sent_at=sent_at, arrived_at=arrived_at)

    def _unreachable(self, fault: Exception) -> AdmissionError:
        why = str(fault) or type(fault).__name__
        return Unavailable(f"{self.url} cannot be reached: {why}", retry_after_s=0.0)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


_jittered = wait_random_exponential(multiplier=PAUSE_S, max=PAUSE_S_MAX)


def _pause(state: RetryCallState) -> float:
    """At least as long as the service said, never all dialers at once."""
    fault = state.outcome.exception() if state.outcome else None
    told_s = fault.retry_after_s if isinstance(fault, (Unavailable, TooFast)) else 0.0
    return told_s + _jittered(state)

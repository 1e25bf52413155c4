"""JSON over HTTP with one Huawei server: an exchange ends in time, in an object or a SourceError.

Nothing is sent twice by itself. What a server says is shown without the secrets of the exchange.
"""

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from yarl import URL

from admission.config.base import SourceSection
from admission.errors import SourceError
from admission.sources.base import sanitize_line
from admission.sources.transport import (
    BODY_BYTES_MAX,
    KEEP_ALIVE_S,
    build_tls_context,
    describe_error,
    read_body,
)

_HIDDEN: Final = "***"
_STATUS: Final[Mapping[int, str]] = {
    403: "this user may not (403)",
    404: "there is no such service (404): check the url",
}


class NotAuthenticated(SourceError):
    """HTTP 401. `date`: the server's clock, as its Date header says; empty without one."""

    def __init__(self, detail: str, *, date: str = "") -> None:
        super().__init__(detail)
        self.date = date


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A server's answer.

    Args:
        body: its JSON object.
        headers: as they came.
        cookies: name -> value of those it set.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    cookies: Mapping[str, str] = field(default_factory=dict)


class JsonClient:
    """Exchanges with one server over a few shared connections.

    Args:
        settings: where it is.
        connections_max: exchanges at the same time; more wait, inside their time-out.

    Errors: ConfigError for a `ca_file` that cannot be used.
    """

    def __init__(self, settings: SourceSection, *, connections_max: int) -> None:
        self._base = settings.url.rstrip("/")
        self._place = settings.place
        self._timeout_ms = settings.timeout_ms
        self._connections_max = connections_max
        self._tls = build_tls_context(settings)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def url(self, path: str) -> URL:
        """The address of a path, just as it is sent."""
        return URL(self._base + path, encoded=True)

    async def send(
        self,
        method: str,
        path: str,
        *,
        what: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_ms: int = 0,
        secrets: Collection[str] = (),
    ) -> Reply:
        """One exchange.

        Args:
            what: its name in errors.
            headers: all but those that HTTP itself needs.
            timeout_ms: instead of the setting's, for requests that the server holds back.
            secrets: what must not be repeated, should the server echo it.

        Errors: SourceError, of which NotAuthenticated is one.
        """
        limit_ms = timeout_ms or self._timeout_ms
        try:
            async with asyncio.timeout(limit_ms / 1000):
                return await self._exchange(method, path, headers, body)
        except NotAuthenticated as error:
            raise NotAuthenticated(self._placed(what, error, secrets), date=error.date) from None
        except SourceError as error:
            raise SourceError(self._placed(what, error, secrets)) from None
        except TimeoutError:
            late = SourceError(f"no answer within {limit_ms} ms")
            raise SourceError(self._placed(what, late, secrets)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # no `from error`: its repr would show the headers to whoever logs it
            broken = SourceError(describe_error(error))
            raise SourceError(self._placed(what, broken, secrets)) from None

    async def close(self) -> None:
        """Close the connections; exchanges under way fail. Closing again does nothing."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        request = self._open().request(
            method, self.url(path), data=body, headers=dict(headers), allow_redirects=False
        )
        async with request as response:
            _check_head(response)
            text = await read_body(response)
            return Reply(
                body=_object(text, response.status),
                headers=response.headers,
                cookies={name: one.value for name, one in response.cookies.items()},
            )

    def _open(self) -> aiohttp.ClientSession:
        """The one session, made late because it belongs to the event loop that runs."""
        if self._closed:
            raise SourceError("this connection is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections_max, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls
                ),
                timeout=aiohttp.ClientTimeout(total=None),  # `send` keeps the time
                cookie_jar=aiohttp.DummyCookieJar(),  # each agent has its own
                headers={"Accept-Encoding": "identity", "User-Agent": "admission"},
                auto_decompress=False,  # nobody asked for compression; a bomb stays packed
                read_bufsize=BODY_BYTES_MAX // 4,
            )
        return self._session

    def _placed(self, what: str, error: SourceError, secrets: Collection[str]) -> str:
        return f"{what} at {self._place}: {redact(error.detail, secrets)}"


def redact(text: str, secrets: Collection[str]) -> str:
    """A server's words as one line, without these secrets."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return sanitize_line(text)


def _check_head(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 401:
        date = response.headers.get("Date", "")
        raise NotAuthenticated("the credentials are refused (401)", date=date)
    if status in _STATUS:
        raise SourceError(_STATUS[status])
    if 300 <= status < 400:
        raise SourceError(f"sends elsewhere ({status}): set url to the final address")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError("the answer is compressed, which was not asked for")


def _object(text: bytes, status: int) -> Mapping[str, Any]:
    """The JSON object of an answer. An error may come with any status and still say why."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if status >= 300:
        raise SourceError(f"failed with HTTP status {status}")
    if text.lstrip()[:1] == b"<":
        raise SourceError("answered with an HTML page or XML, not with JSON")
    raise SourceError("the answer is no JSON object" if text else "answered with nothing")

"""HTTP towards platforms: trust, bounds, one session for each source, and readable errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from admission.config import SourceSection
from admission.errors import ConfigError, SourceError
from admission.sources.base import sanitize_line

# The largest valid answer of any platform has some twenty short fields; a SOAP fault may carry a
# Java stack trace.
BODY_BYTES_MAX: Final = 256 * 1024
# Shorter than the 5 s after which common web servers (Apache httpd's KeepAliveTimeout) close an
# idle connection. A request on a connection that is being closed is lost, and a POST must not be
# repeated.
KEEP_ALIVE_S: Final = 4.0

# The first class that matches counts, so a subclass precedes its base.
_DESCRIPTIONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientSSLError, "TLS could not be agreed on"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorError, "cannot connect"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "broke off in the middle of its answer"),
    (aiohttp.ClientOSError, "the connection broke"),
    (aiohttp.ClientConnectionError, "the connection broke"),
    (OSError, "the connection broke"),
)


class RequestNotDelivered(SourceError):
    """The platform did not receive the request, or refused it unread: it has no effect there."""


class HttpSession:
    """One `aiohttp` session for one platform, opened by the first request.

    The session keeps no cookies, requests no compression and has no time-out of its own:
    `exchange_within` bounds each exchange.

    Args:
        settings: which certificates are trusted.
        connections_max: requests at the same time; further ones wait for a free connection.
        headers: sent with every request, besides `Accept-Encoding` and `User-Agent`.
        middlewares: of aiohttp, such as Digest authentication.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Example:
        http = HttpSession(settings, connections_max=4)
        async with http.open().post(settings.url, data=body) as response:
            text = await read_body(response)
        await http.close()
    """

    def __init__(
        self,
        settings: SourceSection,
        *,
        connections_max: int,
        headers: dict[str, str] | None = None,
        middlewares: tuple[Any, ...] = (),
    ) -> None:
        self._tls = build_tls_context(settings)
        self._connections_max = connections_max
        self._headers = headers or {}
        self._middlewares = middlewares
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def open(self) -> aiohttp.ClientSession:
        """Return the session; the first call creates it, inside the event loop that uses it.

        Raises:
            RequestNotDelivered: after `close`.
        """
        if self._closed:
            raise RequestNotDelivered("this connection is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections_max, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls
                ),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "admission", **self._headers},
                middlewares=self._middlewares,
                auto_decompress=False,  # compression is never requested; a bomb stays packed
                read_bufsize=BODY_BYTES_MAX // 4,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections; requests under way fail. A second call does nothing."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def exchange_within(limit_ms: int) -> AsyncIterator[None]:
    """Bound one exchange in time, and turn whatever breaks it into a SourceError.

    The original exception is not chained: its repr contains the request's headers, and with them
    credentials.

    Args:
        limit_ms: from the start of the exchange to the last byte of the answer.

    Raises:
        RequestNotDelivered: no connection was made.
        SourceError: no answer in time, or a broken connection; the request's effect is unknown.
    """
    try:
        async with asyncio.timeout(limit_ms / 1000):
            yield
    except TimeoutError:
        raise SourceError(f"no answer within {limit_ms} ms") from None
    except aiohttp.ClientConnectorError as error:
        raise RequestNotDelivered(describe_error(error)) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise SourceError(describe_error(error)) from None


def check_head(response: aiohttp.ClientResponse, *, permission_hint: str = "") -> None:
    """Refuse answers whose status or encoding says that the body is not worth reading.

    Args:
        response: its status line and headers have arrived.
        permission_hint: the permission that a 403 demands.

    Raises:
        RequestNotDelivered: 403, 404 or a redirect; redirects are not followed, because the
            credentials are meant for the configured address only.
        SourceError: the body is compressed.
    """
    status = response.status
    if status == 403:
        raise RequestNotDelivered("the user has no permission (403)" + permission_hint)
    if status == 404:
        raise RequestNotDelivered("there is no such service (404): check the url")
    if 300 <= status < 400:
        raise RequestNotDelivered(f"redirects ({status}): set url to the final address")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError("the answer is compressed, which was not requested")


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, up to the first byte beyond the bound.

    Raises:
        SourceError: the body is longer than any valid answer of a platform.
    """
    body = bytearray()
    too_long = (response.content_length or 0) > BODY_BYTES_MAX
    while not too_long and (chunk := await response.content.readany()):
        body += chunk
        too_long = len(body) > BODY_BYTES_MAX
    if too_long:
        response.close()  # do not wait for the rest to be sent
        raise SourceError(f"the answer is longer than {BODY_BYTES_MAX // 1024} KiB")
    return bytes(body)


def describe_error(error: Exception) -> str:
    """Describe a connection error to an operator."""
    words = next((words for kind, words in _DESCRIPTIONS if isinstance(error, kind)), None)
    if words is None:
        return f"does not speak proper HTTP ({type(error).__name__})"
    reason = _system_reason(error)
    return f"{words}: {reason}" if reason else words


def build_tls_context(settings: SourceSection) -> ssl.SSLContext | bool:
    """Build what aiohttp's `ssl` argument takes for these settings.

    Raises:
        ConfigError: the `ca_file` cannot be used.
    """
    if not settings.verify_tls:
        return False
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # SSLError is a subclass
        raise ConfigError(f"ca_file {settings.ca_file}: {sanitize_line(str(error))}") from None


def _system_reason(error: Exception) -> str:
    """The system's reason, never an exception's whole text, which may quote headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", ""))
    return str(getattr(error, "strerror", None) or "")

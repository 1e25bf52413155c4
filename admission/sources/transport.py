"""HTTP towards platforms: trust, bounds, one session for each source, and readable errors."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from admission.config import SourceSection
from admission.errors import SourceError
from admission.sources.authentication import Credentials, HttpAuth
from admission.sources.base import RequestNotDelivered, sanitize_line
from admission.sources.tls import build_tls

log = logging.getLogger(__name__)

# The largest valid answer of any platform has some twenty short fields; a SOAP fault may carry a
# Java stack trace.
BODY_BYTES_MAX: Final = 256 * 1024
# Shorter than the 5 s after which common web servers (Apache httpd's KeepAliveTimeout) close an
# idle connection. A request on a connection that is being closed is lost, and a POST must not be
# repeated.
KEEP_ALIVE_S: Final = 4.0

_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))  # but the space

# The first class that matches counts, so a subclass precedes its base.
_DESCRIPTIONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ServerFingerprintMismatch, "its certificate is not that of tls_fingerprint"),
    (aiohttp.ClientSSLError, "TLS could not be agreed on"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorError, "cannot connect"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "broke off in the middle of its answer"),
    (aiohttp.ClientOSError, "the connection broke"),
    (aiohttp.ClientConnectionError, "the connection broke"),
    (OSError, "the connection broke"),
)


class HttpSession:
    """One `aiohttp` session for one platform, opened by the first request.

    The session keeps no cookies, requests no compression and has no time-out of its own:
    `exchange_within` bounds each exchange.

    Args:
        settings: which certificates are trusted.
        connections_max: requests at the same time; further ones wait for a free connection.
        credentials: of each request; None: its headers have them.

    Raises:
        ConfigError: a file of the TLS settings cannot be used.

    Example:
        http = HttpSession(settings, connections_max=4)
        async with http.exchange("POST", settings.url, body=body) as response:
            text = await read_body(response)
        await http.close()
    """

    def __init__(
        self,
        settings: SourceSection,
        *,
        connections_max: int,
        credentials: Credentials | None = None,
    ) -> None:
        self._tls = build_tls(settings)
        self._connections_max = connections_max
        self._auth = HttpAuth(credentials)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        for warning in settings.warnings:
            log.warning("source at %s: %s", settings.place, warning)

    @property
    def secrets(self) -> Collection[str]:
        """Texts to mask in whatever the platform answers."""
        return self._auth.secrets

    def forget_refusal(self) -> None:
        """Send the credentials with the next request, whatever the platform said before."""
        self._auth.forget_refusal()

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        wait_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and yield the answer, whose body is not read yet.

        Args:
            url: a text is encoded where it needs to be; a URL is sent as it is.
            wait_s: longest wait for another exchange that proves the credentials; None: no limit.

        Raises:
            RequestNotDelivered: after `close`.
            CredentialsRefused: the platform refuses the credentials, or did.
            Whatever aiohttp raises: see `exchange_within`.
        """
        exchange = self._auth.exchange(
            self._open(),
            method,
            encode_url(url) if isinstance(url, str) else url,
            headers=headers,
            body=body,
            options=self._tls.request,
            wait_s=wait_s,
        )
        async with exchange as response:
            yield response

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; the first call creates it, inside the event loop that uses it."""
        if self._closed:
            raise RequestNotDelivered("this connection is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections_max,
                    keepalive_timeout=KEEP_ALIVE_S,
                    ssl=self._tls.fingerprint,
                ),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "admission"},
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
    except (aiohttp.ClientConnectorError, aiohttp.ServerFingerprintMismatch) as error:
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


async def read_body(response: aiohttp.ClientResponse, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read the body, up to the first byte beyond the bound.

    Args:
        bytes_max: the bound.

    Raises:
        SourceError: the body is longer than any valid answer of a platform.
    """
    body = bytearray()
    too_long = (response.content_length or 0) > bytes_max
    while not too_long and (chunk := await response.content.readany()):
        body += chunk
        too_long = len(body) > bytes_max
    if too_long:
        response.close()  # do not wait for the rest to be sent
        raise SourceError(f"the answer is longer than {bytes_max // 1024} KiB")
    return bytes(body)


async def read_beginning(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Read the body up to the bound. Returns: what was read, and whether there is more.

    A fault states its reason before the stack trace that makes it long.
    """
    body = bytearray()
    while len(body) <= BODY_BYTES_MAX and (chunk := await response.content.readany()):
        body += chunk
    is_cut = len(body) > BODY_BYTES_MAX
    if is_cut:
        response.close()  # do not wait for the rest to be sent
    return bytes(body[:BODY_BYTES_MAX]), is_cut


def decode_body(body: bytes, response: aiohttp.ClientResponse) -> str:
    """Decode a text by the charset of its header; without one by its first bytes, as JSON is.

    Raises:
        SourceError: it is not of that charset, or the charset is not known.
    """
    charset = find_charset(response) or json.detect_encoding(body)
    try:
        return body.decode(charset).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError):
        shown = sanitize_line(response.headers.get("Content-Type", "no type"))[:80]
        raise SourceError(f"the answer ({shown}) is not text in {charset[:20]}") from None


def encode_url(text: str) -> URL:
    """The URL of a setting: a host in IDNA, characters beyond ASCII percent-encoded in UTF-8.

    What is percent-encoded already is sent as it is written.
    """
    parts = urlsplit(text)
    origin = str(URL(f"{parts.scheme}://{parts.netloc}")).rstrip("/")
    query = f"?{quote(parts.query, safe=_ASCII)}" if parts.query else ""
    return URL(f"{origin}{quote(parts.path or '/', safe=_ASCII)}{query}", encoded=True)


def find_charset(response: aiohttp.ClientResponse) -> str | None:
    """The charset that the header states; None: none, or a malformed header."""
    charset = response.charset
    return charset if charset and charset.isascii() and charset.isprintable() else None


def describe_error(error: Exception) -> str:
    """Describe a connection error to an operator."""
    if isinstance(error, aiohttp.ClientConnectorError) and _is_reset_in_handshake(error.os_error):
        return "TLS could not be agreed on: the platform closed the connection"
    words = next((words for kind, words in _DESCRIPTIONS if isinstance(error, kind)), None)
    if words is None:
        return f"does not speak proper HTTP ({type(error).__name__})"
    reason = _system_reason(error)
    return f"{words}: {reason}" if reason else words


def _is_reset_in_handshake(error: OSError) -> bool:
    """A reset that asyncio itself states, without a number of the system, is of the handshake."""
    return isinstance(error, ConnectionResetError) and error.errno is None


def _system_reason(error: Exception) -> str:
    """The system's reason, never an exception's whole text, which may quote headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", ""))
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return error.got.hex()
    return str(getattr(error, "strerror", None) or "")

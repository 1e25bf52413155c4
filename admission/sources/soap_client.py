"""One SOAP service over HTTP: every call ends in time, within bounds, in fields or a SourceError.

A call is sent once and never again by itself: a LaunchVXML sent twice is two calls. (The one
exception is HTTP's own: the server refused the first with a 401, to tell how Digest is done.)
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from admission.errors import ConfigError, SourceError
from admission.settings_portal import ExperiencePortalSettings
from admission.sources.base import one_line
from admission.sources.soap import Envelope, SoapFault, Value, read_response, write_request

# The largest good answer has eleven short fields; a fault may carry a Java stack trace.
BODY_BYTES_MAX: Final = 256 * 1024
CONNECTIONS_MAX: Final = 4
# Shorter than the 5 s after which common web servers drop an idle connection. Reusing one that is
# being dropped loses the call, and a POST must not be repeated.
KEEP_ALIVE_S: Final = 4.0

_STATUS: Final[Mapping[int, str]] = {
    403: "this user may not (403): it needs the Web Services role",
    404: "there is no such service (404): check the url",
}
# The first that fits counts: a subclass stands before its base.
_TROUBLES: Final[tuple[tuple[type[BaseException], str], ...]] = (
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


class SoapClient:
    """Calls operations of one service; concurrent calls share a few connections.

    Args:
        settings: where it is and how it is spoken to.
        connections_max: calls at the same time; more wait for their turn, inside their time-out.

    Errors: ConfigError for a `ca_file` that cannot be used.
    """

    def __init__(
        self, settings: ExperiencePortalSettings, *, connections_max: int = CONNECTIONS_MAX
    ) -> None:
        self._settings = settings
        self._dialect = settings.dialect
        self._connections_max = connections_max
        self._tls = _tls(settings)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def call(
        self, operation: str, fields: Mapping[str, Value], *, timeout_ms: int | None = None
    ) -> dict[str, str]:
        """Perform an operation.

        Args:
            operation: such as `QueryResources` or `LaunchVXML`.
            fields: of its request, in the order of the WSDL.
            timeout_ms: instead of the setting's, for operations that block (LaunchVXML blocks
                through ringing). After it the outcome is unknown.

        Returns: the fields of the response by local name, as they were written.
        Errors: SoapFault for a fault, SourceError for everything else.
        """
        limit_ms = timeout_ms or self._settings.timeout_ms
        try:
            async with asyncio.timeout(limit_ms / 1000):
                return await self._exchange(operation, self._envelope(operation, fields))
        except SourceError as error:
            raise self._placed(operation, error) from None
        except TimeoutError:
            late = SourceError(f"no answer within {limit_ms} ms")
            raise self._placed(operation, late) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # no `from error`: its repr would show the Authorization header to whoever logs it
            raise self._placed(operation, SourceError(_trouble(error))) from None

    async def close(self) -> None:
        """Close the connections; calls under way fail. Closing again does nothing."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _envelope(self, operation: str, fields: Mapping[str, Value]) -> Envelope:
        return write_request(
            operation,
            fields,
            namespace=self._dialect.namespace,
            soap_action=self._dialect.soap_action,
            version=self._settings.soap_version,
        )

    async def _exchange(self, operation: str, request: Envelope) -> dict[str, str]:
        post = self._open().post(
            self._settings.url,
            data=request.body,
            headers=dict(request.headers),
            allow_redirects=False,  # credentials go where the operator said, nowhere else
        )
        async with post as response:
            _check_head(response, self._dialect.auth)
            body = await _read_body(response)
            return _read(response, body, operation)

    def _open(self) -> aiohttp.ClientSession:
        """The one session, made late because it belongs to the event loop that runs."""
        if self._closed:
            raise SourceError("this connection is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections_max, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls
                ),
                timeout=aiohttp.ClientTimeout(total=None),  # `call` keeps the time
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._session_headers(),
                middlewares=self._digest(),
                auto_decompress=False,  # nobody asked for compression; a bomb stays packed
                read_bufsize=BODY_BYTES_MAX // 4,
            )
        return self._session

    def _session_headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "admission"}
        if self._dialect.auth == "basic":
            pair = f"{self._settings.username}:{self._settings.secret}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers

    def _digest(self) -> tuple[aiohttp.DigestAuthMiddleware, ...]:
        if self._dialect.auth != "digest":
            return ()
        username = self._settings.username or ""
        return (aiohttp.DigestAuthMiddleware(username, self._settings.secret),)

    def _placed(self, operation: str, error: SourceError) -> SourceError:
        """The same error, saying who and where, without the password."""
        secret = self._settings.secret
        said = one_line(error.detail, secret=secret)
        detail = f"{operation} at {self._settings.place}: {said}"
        if not isinstance(error, SoapFault):
            return SourceError(detail)
        description = one_line(error.description, secret=secret)
        return SoapFault(detail, return_code=error.return_code, description=description)


def _tls(settings: ExperiencePortalSettings) -> ssl.SSLContext | bool:
    if not settings.verify_tls:
        return False
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # SSLError is one
        raise ConfigError(f"ca_file {settings.ca_file}: {one_line(str(error))}") from None


def _check_head(response: aiohttp.ClientResponse, auth: str) -> None:
    status = response.status
    if status == 401:
        raise SourceError(f"the credentials are refused (401), {_asked_for(response, auth)}")
    if status in _STATUS:
        raise SourceError(_STATUS[status])
    if 300 <= status < 400:
        raise SourceError(f"sends elsewhere ({status}): set url to the final address")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError("the answer is compressed, which was not asked for")


def _asked_for(response: aiohttp.ClientResponse, auth: str) -> str:
    """The usual reason of a 401 is the wrong scheme."""
    challenges: list[str] = response.headers.getall("WWW-Authenticate", [])
    schemes = " or ".join(one_line(one.split(" ")[0][:20]) for one in challenges[:4])
    return f"the platform asks for {schemes or 'nothing known'}, auth is {auth}"


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """The body, given up as soon as it is too long."""
    body = bytearray()
    too_long = (response.content_length or 0) > BODY_BYTES_MAX
    while not too_long and (chunk := await response.content.readany()):
        body += chunk
        too_long = len(body) > BODY_BYTES_MAX
    if too_long:
        response.close()  # do not wait for the rest to be sent
        raise SourceError(f"the answer is longer than {BODY_BYTES_MAX // 1024} KiB")
    return bytes(body)


def _read(response: aiohttp.ClientResponse, body: bytes, operation: str) -> dict[str, str]:
    """A fault comes with status 500 (SOAP 1.1) or 400 (1.2): read the body before the status."""
    try:
        fields = read_response(body, operation)
    except SoapFault:
        raise
    except SourceError:
        if response.status < 300:
            raise
        fields = {}
    if response.status >= 300:
        raise SourceError(f"failed with HTTP status {response.status}")
    return fields


def _trouble(error: Exception) -> str:
    """What happened to a connection, in the operator's words."""
    words = next((words for kind, words in _TROUBLES if isinstance(error, kind)), None)
    if words is None:
        return f"does not speak proper HTTP ({type(error).__name__})"
    reason = _reason(error)
    return f"{words}: {reason}" if reason else words


def _reason(error: Exception) -> str:
    """Why, as the system says it; never an exception's whole text, which may quote headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", ""))
    return str(getattr(error, "strerror", None) or "")

"""One SOAP service over HTTP: every call ends in time, within bounds, in fields or a SourceError.

A call is sent once and never again by itself: a LaunchVXML sent twice is two calls. (The one
exception is HTTP's own: the server refused the first with a 401, to tell how Digest is done.)
"""

import asyncio
import base64
from collections.abc import Mapping
from typing import Final

import aiohttp

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.errors import SourceError
from admission.sources.base import sanitize_line
from admission.sources.experience_portal.soap import (
    Envelope,
    RequestNotDelivered,
    SoapFault,
    Value,
    read_response,
    write_request,
)
from admission.sources.transport import (
    BODY_BYTES_MAX,
    KEEP_ALIVE_S,
    build_tls_context,
    describe_error,
    read_body,
)

CONNECTIONS_MAX: Final = 4

_STATUS: Final[Mapping[int, str]] = {
    403: "this user may not (403): it needs the Web Services role",
    404: "there is no such service (404): check the url",
}


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
        self._tls = build_tls_context(settings)
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
        Errors: SoapFault for a fault; RequestNotDelivered where the request was not delivered or
            was refused
            before it was read; SourceError for everything else: nobody knows what became of it.
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
        except aiohttp.ClientConnectorError as error:
            raise self._placed(operation, RequestNotDelivered(describe_error(error))) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # no `from error`: its repr would show the Authorization header to whoever logs it
            raise self._placed(operation, SourceError(describe_error(error))) from None

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
            body = await read_body(response)
            return _read(response, body, operation)

    def _open(self) -> aiohttp.ClientSession:
        """The one session, made late because it belongs to the event loop that runs."""
        if self._closed:
            raise RequestNotDelivered("this connection is closed")
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
        said = sanitize_line(error.detail, secret=secret)
        detail = f"{operation} at {self._settings.place}: {said}"
        if not isinstance(error, SoapFault):
            return type(error)(detail)
        description = sanitize_line(error.description, secret=secret)
        return SoapFault(detail, return_code=error.return_code, description=description)


def _check_head(response: aiohttp.ClientResponse, auth: str) -> None:
    status = response.status
    if status == 401:
        raise RequestNotDelivered(
            f"the credentials are refused (401), {_asked_for(response, auth)}"
        )
    if status in _STATUS:
        raise RequestNotDelivered(_STATUS[status])
    if 300 <= status < 400:
        raise RequestNotDelivered(f"sends elsewhere ({status}): set url to the final address")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError("the answer is compressed, which was not asked for")


def _asked_for(response: aiohttp.ClientResponse, auth: str) -> str:
    """The usual reason of a 401 is the wrong scheme."""
    challenges: list[str] = response.headers.getall("WWW-Authenticate", [])
    schemes = " or ".join(sanitize_line(one.split(" ")[0][:20]) for one in challenges[:4])
    return f"the platform asks for {schemes or 'nothing known'}, auth is {auth}"


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

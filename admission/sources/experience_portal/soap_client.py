"""Calls operations of one SOAP service: each ends in time, within bounds, with fields or an error.

A call is sent once and never repeated by this module: a LaunchVXML sent twice is two calls. (HTTP's
own exception: the server refuses the first request with a 401 to start a Digest exchange.)
"""

import base64
from collections.abc import Collection, Mapping
from typing import Final

import aiohttp

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.errors import SourceError
from admission.sources.base import sanitize_line
from admission.sources.experience_portal.soap import (
    Envelope,
    SoapFault,
    Value,
    read_response,
    write_request,
)
from admission.sources.transport import (
    HttpSession,
    RequestNotDelivered,
    check_head,
    exchange_within,
    read_body,
)

# Polls of several zones and launches of one dialer; the EPM's web service has few threads.
CONNECTIONS_MAX: Final = 4


class SoapClient:
    """Calls operations of one service; concurrent calls share a few connections.

    Args:
        settings: the service's address and dialect.
        connections_max: calls at the same time; further ones wait, inside their time-out.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Example:
        client = SoapClient(settings)
        fields = await client.call("QueryResources", {"queryResourcesRequestUnused": 0})
        await client.close()
    """

    def __init__(
        self, settings: ExperiencePortalSettings, *, connections_max: int = CONNECTIONS_MAX
    ) -> None:
        self._settings = settings
        self._dialect = settings.dialect
        # As Basic authentication joins them, too.
        pair = f"{settings.username}:{settings.secret}"
        self._secrets = (settings.secret, pair) if settings.secret else ()
        self._http = HttpSession(
            settings,
            connections_max=connections_max,
            headers=self._basic_header(),
            middlewares=self._digest_middleware(),
        )

    async def call(
        self, operation: str, fields: Mapping[str, Value], *, timeout_ms: int | None = None
    ) -> dict[str, str]:
        """Perform an operation.

        Args:
            operation: such as `QueryResources` or `LaunchVXML`.
            fields: of its request, in the order of the WSDL.
            timeout_ms: instead of the setting's, for operations that block (LaunchVXML blocks
                while the call rings). After a time-out the outcome is unknown.

        Returns:
            The fields of the response by local name, as text.

        Raises:
            SoapFault: the platform answered with a fault.
            RequestNotDelivered: the request was not delivered, or refused unread.
            SourceError: any other failure; whether the operation was performed is unknown.
        """
        try:
            async with exchange_within(timeout_ms or self._settings.timeout_ms):
                return await self._exchange(operation, self._write(operation, fields))
        except SourceError as error:
            raise self._locate(operation, error) from None

    async def close(self) -> None:
        """Close the connections; calls under way fail. A second call does nothing."""
        await self._http.close()

    def _write(self, operation: str, fields: Mapping[str, Value]) -> Envelope:
        return write_request(
            operation,
            fields,
            namespace=self._dialect.namespace,
            soap_action=self._dialect.soap_action,
            version=self._settings.soap_version,
        )

    async def _exchange(self, operation: str, request: Envelope) -> dict[str, str]:
        post = self._http.open().post(
            self._settings.url,
            data=request.body,
            headers=dict(request.headers),
            allow_redirects=False,
        )
        async with post as response:
            self._check_credentials(response)
            check_head(response, permission_hint=": it needs the Web Services role")
            body = await read_body(response)
            return _read_answer(response, body, operation, self._secrets)

    def _check_credentials(self, response: aiohttp.ClientResponse) -> None:
        """Name the scheme that a 401 demands: a wrong `auth` is its usual reason."""
        if response.status == 401:
            challenges: list[str] = response.headers.getall("WWW-Authenticate", [])
            lines = [sanitize_line(one, secrets=self._secrets) for one in challenges[:4]]
            schemes = " or ".join(one.split(" ")[0][:20] for one in lines)
            raise RequestNotDelivered(
                "the credentials are refused (401), "
                f"the platform demands {schemes or 'no known scheme'}, auth is {self._dialect.auth}"
            )

    def _basic_header(self) -> dict[str, str]:
        if self._dialect.auth != "basic":
            return {}
        pair = f"{self._settings.username}:{self._settings.secret}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _digest_middleware(self) -> tuple[aiohttp.DigestAuthMiddleware, ...]:
        if self._dialect.auth != "digest":
            return ()
        username = self._settings.username or ""
        return (aiohttp.DigestAuthMiddleware(username, self._settings.secret),)

    def _locate(self, operation: str, error: SourceError) -> SourceError:
        """The same error with operation and address, without the password."""
        text = sanitize_line(error.detail, secrets=self._secrets)
        detail = f"{operation} at {self._settings.place}: {text}"
        if not isinstance(error, SoapFault):
            return type(error)(detail)
        return SoapFault(detail, return_code=error.return_code, description=error.description)


def _read_answer(
    response: aiohttp.ClientResponse, body: bytes, operation: str, secrets: Collection[str]
) -> dict[str, str]:
    """A fault comes with status 500 (SOAP 1.1) or 400 (1.2): read the body before the status."""
    try:
        fields = read_response(body, operation, secrets=secrets)
    except SoapFault:
        raise
    except SourceError:
        if response.status < 300:
            raise
        fields = {}
    if response.status >= 300:
        raise SourceError(f"failed with HTTP status {response.status}")
    return fields

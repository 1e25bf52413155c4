"""Calls operations of one SOAP service: each ends in time, within bounds, with fields or an error.

A call is sent once and never repeated by this module: a LaunchVXML sent twice is two calls. (HTTP's
own exception: the server refuses the first request with a 401 to start a Digest exchange.)
"""

from collections.abc import Collection, Mapping
from typing import Final

import aiohttp
from pydantic import SecretStr

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.errors import SourceError
from admission.sources.authentication import Credentials, CredentialsRefused
from admission.sources.base import sanitize_line
from admission.sources.experience_portal.soap import (
    Envelope,
    Fields,
    SoapFault,
    Value,
    read_response,
    write_request,
)
from admission.sources.experience_portal.wsdl import RequestShape, read_wsdl
from admission.sources.transport import (
    BODY_BYTES_MAX,
    HttpSession,
    check_head,
    exchange_within,
    read_beginning,
    read_body,
)

# Polls of several zones and launches of one dialer; the EPM's web service has few threads.
CONNECTIONS_MAX: Final = 4
WSDL_BYTES_MAX: Final = 2**20
# A launch that blocks while its call rings must not hold up the others for longer: they have to
# leave within the `launch_within_ms` of their grants. A refusal arrives sooner.
PROOF_WAIT_S: Final = 0.2


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
        credentials = Credentials(
            scheme=self._dialect.auth,
            username=settings.username or "",
            secret=settings.password or SecretStr(""),
            charset=settings.credentials_charset,
        )
        self._http = HttpSession(settings, connections_max=connections_max, credentials=credentials)

    async def call(
        self, operation: str, fields: Mapping[str, Value], *, timeout_ms: int | None = None
    ) -> Fields:
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
                wait_s = None if timeout_ms is None else PROOF_WAIT_S
                return await self._exchange(operation, self._write(operation, fields), wait_s)
        except SourceError as error:
            raise self._locate(operation, error) from None

    def forget_refusal(self) -> None:
        """Send the credentials with the next query (`RemembersRefusals`)."""
        self._http.forget_refusal()

    async def read_wsdl(self) -> RequestShape:
        """Read from the portal's WSDL how it wants QueryResources.

        Raises:
            SourceError: there is no WSDL, or it cannot be read.
        """
        try:
            async with exchange_within(self._settings.timeout_ms):
                return await read_wsdl(f"{self._settings.url.partition('?')[0]}?wsdl", self._fetch)
        except SourceError as error:
            raise self._locate("?wsdl", error) from None

    async def _fetch(self, url: str) -> bytes:
        async with self._http.exchange("GET", url) as response:
            check_head(response)
            if response.status >= 300:
                raise SourceError(f"failed with HTTP status {response.status}")
            return await read_body(response, bytes_max=WSDL_BYTES_MAX)

    async def close(self) -> None:
        """Close the connections; calls under way fail. A second call does nothing."""
        await self._http.close()

    def _write(self, operation: str, fields: Mapping[str, Value]) -> Envelope:
        return write_request(
            operation, fields, dialect=self._dialect, version=self._settings.soap_version
        )

    async def _exchange(self, operation: str, request: Envelope, wait_s: float | None) -> Fields:
        exchange = self._http.exchange(
            "POST", self._settings.url, headers=request.headers, body=request.body, wait_s=wait_s
        )
        async with exchange as response:
            check_head(response, permission_hint=": it needs the Web Services role")
            body, is_cut = await read_beginning(response)
            return _read_answer(response, body, is_cut, operation, self._http.secrets)

    def _locate(self, operation: str, error: SourceError) -> SourceError:
        """The same error with operation and address, without the password."""
        text = sanitize_line(error.detail, secrets=self._http.secrets)
        detail = f"{operation} at {self._settings.place}: {text}"
        if isinstance(error, CredentialsRefused):
            return CredentialsRefused(detail, date=error.date)
        if not isinstance(error, SoapFault):
            return type(error)(detail)
        return SoapFault(detail, return_code=error.return_code, description=error.description)


def _read_answer(
    response: aiohttp.ClientResponse,
    body: bytes,
    is_cut: bool,
    operation: str,
    secrets: Collection[str],
) -> Fields:
    """A fault comes with status 500 (SOAP 1.1) or 400 (1.2): read the body before the status."""
    try:
        fields = read_response(
            body,
            operation,
            secrets=secrets,
            content_type=response.headers.get("Content-Type", ""),
            is_cut=is_cut,
        )
    except (SoapFault, CredentialsRefused):
        raise
    except SourceError:
        if is_cut:
            raise SourceError(f"the answer is longer than {BODY_BYTES_MAX // 1024} KiB") from None
        if response.status < 300:
            raise
        raise SourceError(f"failed with HTTP status {response.status}") from None
    if response.status >= 300:
        raise SourceError(f"failed with HTTP status {response.status}")
    return fields

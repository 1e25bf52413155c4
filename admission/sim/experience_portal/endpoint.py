"""The SOAP endpoint of one path: credentials, injected faults, envelope, operation, answer."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from admission.sim.experience_portal.auth import Authenticator
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import Dialect, operations
from admission.sim.experience_portal.faults import Fault, FaultKind, distort
from admission.sim.experience_portal.operations import Operations
from admission.sim.experience_portal.soap import (
    CONTENT_TYPES,
    SoapFault,
    SoapRequest,
    SoapVersion,
    detect_version,
    read_request,
    write_fault,
    write_response,
)
from admission.sim.experience_portal.wsdl import wsdl
from admission.sim.faults import ActiveFaults

# A hanging request ends after this, later than any client's time-out (120 s connect timeout).
HANG_MS_MAX: Final = 300_000
HUGE_BYTES: Final = 8 * 2**20
SERVICES: Final[Mapping[Dialect, str]] = {"axis1": "AppIntfWS", "axis2": "VPAppIntfService"}
HTML: Final = "<html><head><title>Error</title></head><body>Something went wrong</body></html>"


class Endpoint:
    """One path.

    Args:
        dialect: `axis1` or `axis2`.
        settings: authentication and SOAP versions.
        run: the operations.
        faults: the active faults.
    """

    def __init__(
        self,
        dialect: Dialect,
        settings: PortalSettings,
        run: Operations,
        faults: ActiveFaults[Fault],
    ) -> None:
        self._dialect = dialect
        self._settings = settings
        self._run = run
        self._faults = faults
        self._contract = operations(settings.query_zone_field(dialect))
        self._authenticator = Authenticator(
            mode=settings.auth(dialect),
            user=settings.user,
            password=settings.password,
            algorithm=settings.digest_algorithm,
        )

    async def get(self, request: web.Request) -> web.Response:
        """Answer `?wsdl`."""
        if "wsdl" not in {name.lower() for name in request.query}:
            return web.Response(status=405, headers={"Allow": "POST"})
        if self._settings.wsdl_auth and not self._authenticator.accepts(request):
            return self._authenticator.challenge()
        text = wsdl(
            service=SERVICES[self._dialect],
            url=str(request.url.with_query(None)),
            operations=self._contract,
            action=self._settings.action(self._dialect),
            versions=self._settings.versions(self._dialect),
        )
        return web.Response(text=text, content_type="text/xml")

    async def post(self, request: web.Request) -> web.Response:
        """Perform one operation."""
        body = await request.read()
        if not self._authenticator.accepts(request):
            return self._authenticator.challenge()
        try:
            call = self._read(request, body)
        except SoapFault as error:
            return _fault_response(detect_version(body), error)
        fault = self._faults.pick(call.operation)
        if fault and (answer := await self._instead(request, call, fault)):
            return answer
        return await self._answer(request, call, fault)

    def _read(self, request: web.Request, body: bytes) -> SoapRequest:
        if self._dialect == "axis1" and "SOAPAction" not in request.headers:
            raise SoapFault("no SOAPAction header", sender=True)
        call = read_request(body, self._contract, lax=self._settings.lax)
        if call.version not in self._settings.versions(self._dialect):
            raise SoapFault(f"SOAP {call.version} is not supported here", sender=True)
        return call

    async def _answer(
        self, request: web.Request, call: SoapRequest, fault: Fault | None
    ) -> web.Response:
        """Perform the operation, and distort the answer as the fault demands."""
        try:
            values = await self._run.run(call)
        except SoapFault as error:
            return _fault_response(call.version, error)
        kind = fault.kind if fault else None
        if fault and kind == "slow":
            await self._run.pause(fault.delay_ms)
        if kind == "drop_reply":
            return _drop(request)
        body = write_response(call.version, call.operation, distort(kind, values))
        if kind == "truncated":
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type=CONTENT_TYPES[call.version], charset="utf-8")

    async def _instead(
        self, request: web.Request, call: SoapRequest, fault: Fault
    ) -> web.Response | None:
        """The answer of a fault that replaces the operation; None for other faults."""
        if fault.kind == "hang":
            await self._run.pause(HANG_MS_MAX)
        if fault.kind in ("hang", "drop"):
            return _drop(request)
        if fault.kind == "unauthorized":
            return self._authenticator.challenge()
        if fault.kind == "fault":
            error = SoapFault(
                "injected fault",
                operation=call.operation,
                return_code=self._settings.codes.bad_request,
            )
            return _fault_response(call.version, error)
        return _not_soap(fault.kind, call.version)


def _not_soap(kind: FaultKind, version: SoapVersion) -> web.Response | None:
    if kind == "html":
        return web.Response(text=HTML, content_type="text/html")
    if kind == "not_xml":
        return web.Response(text="OK 200 200 0", content_type=CONTENT_TYPES[version])
    if kind == "http_500":
        return web.Response(status=500, text="Internal Server Error")
    if kind == "huge":
        return web.Response(body=b" " * HUGE_BYTES, content_type=CONTENT_TYPES[version])
    return None


def _fault_response(version: SoapVersion, fault: SoapFault) -> web.Response:
    return web.Response(
        status=500,
        body=write_fault(version, fault),
        content_type=CONTENT_TYPES[version],
        charset="utf-8",
    )


def _drop(request: web.Request) -> web.Response:
    """Abort the connection; aiohttp requires a response, but it is not sent."""
    if request.transport:
        request.transport.abort()
    return web.Response()

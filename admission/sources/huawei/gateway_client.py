"""The interfaces of Huawei's CC-Gateway that count agents' calls, one method each.

A Guid authenticates an agent's requests: signing in returns the first, and an event poll returns
the next from time to time. It arrives as `Set-GUID: JSESSIONID=<guid>` and is sent as
`Guid: <guid>`. Errors come with status 200 and a `retcode`. Source: Huawei's pages on CC-Gateway,
and its sample code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from admission.config.secret_refs import read_again
from admission.config.sources.huawei import AgentSettings, HuaweiAgentGatewaySettings
from admission.errors import SourceError
from admission.sources.authentication import CredentialsRefused
from admission.sources.huawei.json_client import JsonClient, Reply, redact

ROOT: Final = "/agentgateway/resource"
CONTENT_TYPE: Final = "application/json; charset=UTF-8"
OK_CODE: Final = "0"
AUTHENTICATION_EXPIRED: Final = "000-003"
SIGNED_IN_ALREADY: Final = "100-002"
BAD_CREDENTIALS: Final = "100-004"
NOT_SIGNED_IN: Final = "100-006"
# The session is lost: the same Guid is refused again.
LOST: Final = frozenset({AUTHENTICATION_EXPIRED, NOT_SIGNED_IN})
CODES: Final[Mapping[str, str]] = {
    AUTHENTICATION_EXPIRED: "its session expired",
    "000-004": "the gateway is switching over",
    "000-007": "the same request is under way there",
    SIGNED_IN_ALREADY: "it is signed in elsewhere",
    "100-003": "the provider is unavailable",
    BAD_CREDENTIALS: "its id, password or phone is refused",
    NOT_SIGNED_IN: "it is not signed in",
    "100-007": "internal error there",
}
DISASTER_RECOVERY: Final = "105-"  # followed by two or three digits
GUID_PREFIX: Final = "JSESSIONID="
# Huawei's Guids have some 60 characters; a header of this length passes every proxy.
GUID_CHARS_MAX: Final = 200
# The gateway answers an event poll within this, with or without an event.
EVENT_WAIT_MS: Final = 10_000
CALLS_END: Final = 2**31


class GatewayFault(SourceError):
    """The gateway answered with a `retcode` that is an error."""

    def __init__(self, detail: str, *, retcode: str) -> None:
        super().__init__(detail)
        self.retcode = retcode


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket:
    """The credentials of one agent's requests; answers replace them.

    Args:
        guid: the newest.
        cookies: name -> value; sent back as they came.
    """

    guid: str = field(repr=False)
    cookies: dict[str, str] = field(default_factory=dict, repr=False)

    def headers(self) -> dict[str, str]:
        """Headers of the next request."""
        headers = {"Guid": self.guid}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        return headers

    def update(self, reply: Reply) -> None:
        """Take over the Guid and the cookies of an answer."""
        self.guid = parse_guid(reply.headers.get("Set-GUID", "")) or self.guid
        self.cookies |= reply.cookies


class GatewayClient:
    """Requests to one CC-Gateway.

    Args:
        settings: the gateway's address, and the body of a sign-in.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Every method raises GatewayFault for an error that the gateway reports and SourceError for any
    other failure; both have one line without secrets.

    Example:
        client = GatewayClient(settings)
        ticket = await client.sign_in(settings.agents[0])
        calls = await client.count_calls(settings.agents[0].id, ticket)
        await client.close()
    """

    def __init__(self, settings: HuaweiAgentGatewaySettings) -> None:
        self._settings = settings
        self._http = JsonClient(
            settings,
            connections_max=settings.max_concurrent_queries + settings.max_concurrent_event_polls,
        )

    async def sign_in(self, agent: AgentSettings, *, force: bool = False) -> Ticket:
        """Sign an agent in; `force` ends a session that the agent has elsewhere.

        Raises:
            CredentialsRefused: the gateway refuses its id, password or phone.
            SourceError: any other failure.
        """
        password = read_again(agent.password).get_secret_value()
        path = f"{ROOT}/onlineagent/{agent.id}" + ("/forcelogin" if force else "")
        body = json.dumps(self._sign_in_body(agent, password), separators=(",", ":")).encode()
        try:
            reply = await self._send("PUT", path, "sign-in", {}, body=body, secrets=(password,))
        except GatewayFault as fault:
            if fault.retcode == BAD_CREDENTIALS:
                raise CredentialsRefused(fault.detail) from None
            raise
        ticket = Ticket(guid="")
        ticket.update(reply)
        if not ticket.guid:
            raise SourceError("sign-in: the answer has no Set-GUID")
        return ticket

    async def poll_event(self, agent: int, ticket: Ticket) -> None:
        """Wait up to 10 s for an event, such as a new Guid."""
        path = f"{ROOT}/agentevent/{agent}"
        timeout_ms = EVENT_WAIT_MS + self._settings.timeout_ms
        await self._send_with_ticket("GET", path, "event poll", ticket, timeout_ms=timeout_ms)

    async def count_calls(self, agent: int, ticket: Ticket) -> int:
        """Return the number of calls that the agent has now."""
        path = f"{ROOT}/calldata/{agent}/callnums"
        sent_guid = ticket.guid
        try:
            reply = await self._send_with_ticket("GET", path, "callnums", ticket)
        except GatewayFault as fault:
            if fault.retcode not in LOST or ticket.guid == sent_guid:
                raise
            # An event poll replaced the Guid while the request was under way.
            reply = await self._send_with_ticket("GET", path, "callnums", ticket)
        return _read_calls(reply.body)

    async def sign_out(self, agent: int, ticket: Ticket) -> None:
        """Sign the agent out."""
        path = f"{ROOT}/onlineagent/{agent}/logout"
        await self._send_with_ticket("DELETE", path, "sign-out", ticket)

    async def close(self) -> None:
        """Close the connections; requests under way fail."""
        await self._http.close()

    async def _send_with_ticket(
        self, method: str, path: str, what: str, ticket: Ticket, *, timeout_ms: int = 0
    ) -> Reply:
        secrets = (ticket.guid, *ticket.cookies.values())
        headers = ticket.headers()
        reply = await self._send(
            method, path, what, headers, timeout_ms=timeout_ms, secrets=secrets
        )
        ticket.update(reply)
        return reply

    async def _send(
        self,
        method: str,
        path: str,
        what: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        timeout_ms: int = 0,
        secrets: tuple[str, ...] = (),
    ) -> Reply:
        reply = await self._http.send(
            method,
            path,
            what=what,
            headers={"Content-Type": CONTENT_TYPE, **headers},
            body=body,
            timeout_ms=timeout_ms,
            secrets=secrets,
        )
        retcode = str(reply.body.get("retcode", ""))
        if retcode != OK_CODE:
            words = reply.body.get("message")
            detail = f"{what}: {_describe_code(retcode, words, secrets)}"
            raise GatewayFault(detail, retcode=retcode)
        return reply

    def _sign_in_body(self, agent: AgentSettings, password: str) -> dict[str, Any]:
        sign_in = self._settings.sign_in
        return {
            "password": password,
            "phonenum": agent.phone,
            "autoanswer": sign_in.auto_answer,
            "autoenteridle": sign_in.auto_enter_idle,
            "releasephone": sign_in.release_phone,
            "agenttype": sign_in.agent_type,
            "status": sign_in.status,
            "ip": sign_in.ip,
        }


def parse_guid(text: str) -> str:
    """Extract the Guid from a Set-GUID header or an operator's input; empty: it has none."""
    guid = text.strip().partition(";")[0].removeprefix(GUID_PREFIX)
    is_token = guid.isascii() and guid.isprintable() and " " not in guid
    return guid if is_token and len(guid) <= GUID_CHARS_MAX else ""


def _describe_code(retcode: str, words: object, secrets: tuple[str, ...]) -> str:
    """The code's meaning and the code; for an unknown code the gateway's own words."""
    shown = redact(retcode, secrets)[:20] or "none"
    meaning = CODES.get(retcode)
    if meaning is None and retcode.startswith(DISASTER_RECOVERY):
        meaning = "disaster recovery is under way"
    message = redact(words, secrets) if isinstance(words, str) else ""
    return f"{meaning or message or 'not a known code'} ({shown})"


def _read_calls(body: Mapping[str, Any]) -> int:
    """The count: a string by Huawei's type, a number in Huawei's example."""
    value = body.get("result")
    text = str(value).strip() if type(value) in (int, str) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < CALLS_END):
        raise SourceError("callnums: the answer has no number of calls")
    return int(text)

"""The interfaces of Huawei's CC-Gateway that counting agents' calls takes, one method each.

A Guid is an agent's ticket: signing in gives the first, and an event poll now and then the next. It
comes as `Set-GUID: JSESSIONID=<guid>` and goes as `Guid: <guid>`. Errors come with status 200 and a
`retcode`. Source: Huawei's pages on CC-Gateway, and its sample code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from admission.config.sources.huawei import AgentSettings, HuaweiAgentGatewaySettings
from admission.errors import SourceError
from admission.sources.base import sanitize_line
from admission.sources.huawei.json_client import JsonClient, Reply, redact

ROOT: Final = "/agentgateway/resource"
CONTENT_TYPE: Final = "application/json; charset=UTF-8"
GOOD: Final = "0"
AUTHENTICATION_EXPIRED: Final = "000-003"
SIGNED_IN_ALREADY: Final = "100-002"
BAD_CREDENTIALS: Final = "100-004"
NOT_SIGNED_IN: Final = "100-006"
# After these the ticket is worth nothing.
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
RECOVERY: Final = "105-"  # and two or three digits
SECRET_PREFIX: Final = "JSESSIONID="
GUID_CHARS_MAX: Final = 200
EVENT_WAIT_MS: Final = 10_000  # an event poll is answered by then
CALLS_END: Final = 2**31


class GatewayFault(SourceError):
    """The gateway answered with a retcode that is an error."""

    def __init__(self, detail: str, *, retcode: str) -> None:
        super().__init__(detail)
        self.retcode = retcode


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket:
    """What an agent's requests carry; it changes with what comes back.

    Args:
        guid: the newest.
        cookies: name -> value, to be replayed.
    """

    guid: str = field(repr=False)
    cookies: dict[str, str] = field(default_factory=dict, repr=False)

    def headers(self) -> dict[str, str]:
        """For the next request."""
        headers = {"Guid": self.guid}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        return headers

    def learn(self, reply: Reply) -> None:
        """Keep what an answer brought along."""
        self.guid = parse_guid(reply.headers.get("Set-GUID", "")) or self.guid
        self.cookies |= reply.cookies


class GatewayClient:
    """Requests to one CC-Gateway.

    Args:
        settings: where it is, and how agents sign in.

    Errors: ConfigError for a `ca_file` that cannot be used. Every method: GatewayFault for an error
    of the gateway's, SourceError for everything else, in one line without secrets.
    """

    def __init__(self, settings: HuaweiAgentGatewaySettings) -> None:
        self._settings = settings
        self._http = JsonClient(
            settings,
            connections_max=settings.max_concurrent_queries + settings.max_concurrent_event_polls,
        )

    async def sign_in(self, agent: AgentSettings, *, force: bool = False) -> Ticket:
        """Sign an agent in; `force` throws out whoever is signed in as that agent."""
        password = agent.password.get_secret_value()
        path = f"{ROOT}/onlineagent/{agent.id}" + ("/forcelogin" if force else "")
        body = json.dumps(self._sign_in_body(agent, password), separators=(",", ":")).encode()
        reply = await self._send("PUT", path, "sign-in", {}, body=body, secrets=(password,))
        ticket = Ticket(guid="")
        ticket.learn(reply)
        if not ticket.guid:
            raise SourceError("sign-in: the answer has no Set-GUID")
        return ticket

    async def event(self, agent: int, ticket: Ticket) -> None:
        """Wait for an event, which may be a new Guid: up to 10 s."""
        path = f"{ROOT}/agentevent/{agent}"
        late_ms = EVENT_WAIT_MS + self._settings.timeout_ms
        await self._asked("GET", path, "event poll", ticket, timeout_ms=late_ms)

    async def callnums(self, agent: int, ticket: Ticket) -> int:
        """How many calls the agent has now."""
        path = f"{ROOT}/calldata/{agent}/callnums"
        used = ticket.guid
        try:
            reply = await self._asked("GET", path, "callnums", ticket)
        except GatewayFault as fault:
            if fault.retcode not in LOST or ticket.guid == used:
                raise
            reply = await self._asked("GET", path, "callnums", ticket)  # it changed on the way
        return _calls(reply.body)

    async def sign_out(self, agent: int, ticket: Ticket) -> None:
        """Sign the agent out."""
        path = f"{ROOT}/onlineagent/{agent}/logout"
        await self._asked("DELETE", path, "sign-out", ticket)

    async def close(self) -> None:
        """Close the connections; requests under way fail."""
        await self._http.close()

    async def _asked(
        self, method: str, path: str, what: str, ticket: Ticket, *, timeout_ms: int = 0
    ) -> Reply:
        secrets = (ticket.guid, *ticket.cookies.values())
        headers = ticket.headers()
        reply = await self._send(
            method, path, what, headers, timeout_ms=timeout_ms, secrets=secrets
        )
        ticket.learn(reply)
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
        if retcode != GOOD:
            words = reply.body.get("message")
            detail = f"{what}: {_meaning(retcode, words, secrets)}"
            raise GatewayFault(detail, retcode=retcode)
        return reply

    def _sign_in_body(self, agent: AgentSettings, password: str) -> dict[str, Any]:
        said = self._settings.sign_in
        return {
            "password": password,
            "phonenum": agent.phone,
            "autoanswer": said.auto_answer,
            "autoenteridle": said.auto_enter_idle,
            "releasephone": said.release_phone,
            "agenttype": said.agent_type,
            "status": said.status,
            "ip": said.ip,
        }


def parse_guid(text: str) -> str:
    """A Guid as it is sent, from a Set-GUID header or an operator; empty: it is none."""
    guid = text.strip().partition(";")[0].removeprefix(SECRET_PREFIX)
    fits = guid.isascii() and guid.isprintable() and " " not in guid
    return guid if fits and len(guid) <= GUID_CHARS_MAX else ""


def _meaning(retcode: str, words: object, secrets: tuple[str, ...]) -> str:
    """The code and what it means; the gateway's own words where we have none."""
    shown = sanitize_line(retcode)[:20] or "none"
    known = CODES.get(retcode)
    if known is None and retcode.startswith(RECOVERY):
        known = "disaster recovery is under way"
    said = redact(words, secrets) if isinstance(words, str) else ""
    return f"{known or said or 'not a known code'} ({shown})"


def _calls(body: Mapping[str, Any]) -> int:
    """The count: typed a string by the documents, a number in their example."""
    value = body.get("result")
    text = str(value).strip() if type(value) in (int, str) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < CALLS_END):
        raise SourceError("callnums: the answer has no number of calls")
    return int(text)

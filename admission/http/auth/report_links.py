"""`report_url`: a signed link that accepts reports on one reservation without credentials.

    /r/{mac}.{id}~{campaign}/end        mac = HMAC-SHA256(the zone's secret, "{id}~{campaign}")

A page on the platform (CCXML, VoiceXML) receives the link as a parameter and posts to it. Its
holder has the rights of a dialer of that campaign, for that reservation alone.
docs/decisions/report-url.md says why the key is stored in Redis, and what its loss costs.
"""

import base64
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from admission.domain import Answer
from admission.domain.types import NAME, RESERVATION_ID, Role, SigningKeys
from admission.errors import NotFound
from admission.http.auth.tokens import Caller
from admission.http.auth.zone_keys import ZoneKeys
from admission.http.decider import Decider

PATH: Final = "/r/{token}"
MAC_BYTES: Final = 16  # 128 bits, as RFC 2104, 5 allows: half of the output of SHA-256
_TOKEN: Final = re.compile(
    rf"(?P<mac>[A-Za-z0-9_-]{{22}})\.(?P<id>{RESERVATION_ID[1:-1]})~(?P<campaign>{NAME[1:-1]})"
)
_HOST: Final = re.compile(
    r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReport:
    """The meaning of a genuine token: a reservation, and the caller whose rights its holder has."""

    reservation_id: str
    caller: Caller


def make_token(secret: bytes, reservation_id: str, campaign: str) -> str:
    """The token of a reservation, which needs no escaping in a path."""
    subject = f"{reservation_id}~{campaign}"
    return f"{_sign(secret, subject)}.{subject}"


class ReportLinks:
    """Adds links to answers, and verifies their tokens.

    Args:
        decider: has the secret of each zone.
        public_url: start of every link; empty: scheme and host of the request.
        keys: checks signatures.
    """

    def __init__(
        self, decider: Decider, public_url: str = "", *, keys: ZoneKeys | None = None
    ) -> None:
        self._decider = decider
        self._public_url = public_url.rstrip("/")
        self._keys = keys or ZoneKeys()

    def add_links(self, request: web.Request, secret: bytes, *answers: Answer) -> None:
        """Add a `report_url` to every reservation of these answers to the request."""
        base = f"{self._public_url or _request_url(request)}/r/"
        for answer in answers:
            for one in answer["reservations"]:
                one["report_url"] = base + make_token(secret, one["id"], answer["campaign"])

    async def verify(self, token: str) -> VerifiedReport:
        """The meaning of the token; raises `NotFound` if it is not genuine."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise _not_found()
        zone = match["id"].partition("~")[0]
        if zone not in self._decider.list_zones():
            raise _not_found()
        subject = f"{match['id']}~{match['campaign']}"
        if not await self._is_genuine(zone, match["mac"], subject):
            raise _not_found()
        caller = Caller(
            name="report_url",
            role=Role.DIALER,
            campaigns=frozenset({match["campaign"]}),
            zones=frozenset({zone}),
        )
        return VerifiedReport(reservation_id=match["id"], caller=caller)

    async def _is_genuine(self, zone: str, mac: str, subject: str) -> bool:
        def fits(keys: SigningKeys) -> bool:
            signed = [hmac.compare_digest(mac, _sign(key, subject)) for key in keys.accepted]
            return any(signed)

        return await self._keys.check(self._decider.zone(zone), fits)


def _sign(secret: bytes, subject: str) -> str:
    digest = hmac.digest(secret, subject.encode(), "sha256")[:MAC_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _request_url(request: web.Request) -> str:
    """Scheme and host by which the client reached this service."""
    host = request.headers.get(hdrs.HOST, "")
    return f"{request.scheme}://{host if _is_host(host) else _socket_host(request)}"


@lru_cache(maxsize=64)  # clients use few host names
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


def _socket_host(request: web.Request) -> str:
    # HTTP/1.0 has no mandatory Host header: use the local address of the connection.
    name = request.get_extra_info("sockname") or ("127.0.0.1", 80)
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _not_found() -> NotFound:
    return NotFound("There is no such reservation.")

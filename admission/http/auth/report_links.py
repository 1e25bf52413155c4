"""`report_url`: a link that reports on one reservation, for whoever holds it, without credentials.

    /r/{mac}.{id}~{campaign}/end        mac = HMAC-SHA256(the zone's secret, "{id}~{campaign}")

A page on the platform (CCXML, VoiceXML) gets it as a parameter and posts to it. It can do what the
dialer of that campaign could do to that one reservation, and nothing else. Why the key lives in
Redis, and what a loss of it costs: docs/decisions/report-url.md.
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from admission.domain.types import NAME, RESERVATION_ID, Answer
from admission.errors import NotFound
from admission.http.auth.tokens import Caller, Role
from admission.http.decider import Decider

PATH: Final = "/r/{token}"

MAC_BYTES: Final = 16  # 128 bits: nobody guesses that over HTTP

REFRESH_S: Final = 1.0

_TOKEN: Final = re.compile(
    rf"(?P<mac>[A-Za-z0-9_-]{{22}})\.(?P<id>{RESERVATION_ID[1:-1]})~(?P<campaign>{NAME[1:-1]})"
)

_HOST: Final = re.compile(
    r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReport:
    """What a token that is genuine stands for: a reservation, and who its holder counts as."""

    reservation_id: str
    caller: Caller


def token_for(secret: bytes, reservation_id: str, campaign: str) -> str:
    """The token of a reservation: all of it may stand in a path as it is."""
    named = f"{reservation_id}~{campaign}"
    return f"{_mac(secret, named)}.{named}"


def add_links(base: str, secret: bytes, answer: Answer) -> None:
    """Give each reservation of a grant its `report_url`."""
    for one in answer["reservations"]:
        one["report_url"] = base + token_for(secret, one["id"], answer["campaign"])


def _mac(secret: bytes, named: str) -> str:
    digest = hmac.digest(secret, named.encode(), "sha256")[:MAC_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class ReportLinks:
    """Makes the links of an answer, and opens them.

    Args:
        decider: knows the zones' secrets.
        public_url: what a link begins with; empty: as the asking request was addressed.
        clock: seconds, monotonic.
    """

    def __init__(
        self, decider: Decider, public_url: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._decider = decider
        self._public_url = public_url.rstrip("/")
        self._clock = clock
        self._refreshed_at: dict[str, float] = {}

    def base_of(self, request: web.Request) -> str:
        """What the links of its answer begin with."""
        return f"{self._public_url or _own_url(request)}/r/"

    async def verify(self, token: str) -> VerifiedReport:
        """What the token stands for; raises `NotFound` for one that is not genuine."""
        found = _TOKEN.fullmatch(token)
        if (
            found is None
            or (zone := found["id"].partition("~")[0]) not in self._decider.list_zones()
        ):
            raise _unknown()
        named = f"{found['id']}~{found['campaign']}"
        if not await self._is_genuine(zone, found["mac"], named):
            raise _unknown()
        caller = Caller(
            name="report_url",
            role=Role.DIALER,
            campaigns=frozenset({found["campaign"]}),
            zones=frozenset({zone}),
        )
        return VerifiedReport(reservation_id=found["id"], caller=caller)

    async def _is_genuine(self, zone: str, mac: str, named: str) -> bool:
        secret = await self._decider.zone(zone).get_secret()
        if hmac.compare_digest(mac, _mac(secret, named)):
            return True
        # Another replica may sign with a newer secret, after Redis lost both. Whoever tries tokens
        # at random must not make us ask for it each time.
        if self._clock() - self._refreshed_at.get(zone, -REFRESH_S) < REFRESH_S:
            return False
        self._refreshed_at[zone] = self._clock()
        secret = await self._decider.zone(zone).get_secret(refresh=True)
        return hmac.compare_digest(mac, _mac(secret, named))


def _own_url(request: web.Request) -> str:
    """This service as the caller of the request reached it."""
    host = request.headers.get(hdrs.HOST, "")
    return f"{request.scheme}://{host if _is_host(host) else _socket_host(request)}"


@lru_cache(maxsize=64)  # callers reach it by few names
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


def _socket_host(request: web.Request) -> str:
    # HTTP/1.0 needs no Host; then the address that it came to is as good.
    name = request.get_extra_info("sockname") or ("127.0.0.1", 80)
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unknown() -> NotFound:
    return NotFound("There is no such reservation.")

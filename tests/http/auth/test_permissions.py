"""Every role at every route, for its own things, another campaign's, another zone's, and for none.

On a real ledger, which alone knows the campaign of a reservation.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from admission.config.settings import RedisSettings, Settings
from admission.domain.policy.document import parse_policy
from admission.domain.types import Role
from admission.http.app import create_app
from admission.http.auth.report_links import make_token
from admission.http.auth.tokens import Credentials, Token
from admission.http.routes import routes
from admission.service.bootstrap import open_service
from admission.telemetry.metrics import Telemetry
from tests.support.http_server import serving
from tests.support.service import STATIC_ZONE
from tests.support.tokens import ROLES

POLICY: Final = STATIC_ZONE | {
    "capacity": {"sip": 1000},
    "campaigns": {"collections": {}, "sales": {}},
}
UNKNOWN: Final = "East~AAAAAAAAAAA"
# Tokens that are limited to zone East, and to campaign collections where they have campaigns.
LIMITED: Final = ("dialer", "source", "viewer")
STRANGERS: Final = ("", "unknown", "expired")


def token(name: str, role: Role, **more: Any) -> Token:
    return Token(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), role=role, **more)


TOKENS: Final = [
    token("operator", Role.OPERATOR),
    token("expired", Role.OPERATOR, expires_at_s=1.0),
    token("dialer", Role.DIALER, campaigns=["collections"], zones=["East"]),
    token("source", Role.SOURCE, zones=["East"]),
    token("viewer", Role.VIEWER, zones=["East"]),
]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A request, and its status for a caller whose role allows it."""

    zone: str = "East"
    campaign: str = "collections"
    reservation: str = UNKNOWN
    operator: int = 200
    limited: int = 403


@dataclass
class GuardedService:
    """The service, and a reservation of each campaign and zone."""

    http: ClientSession
    secret: bytes
    ids: dict[tuple[str, str], str] = field(default_factory=dict)

    def targets(self, path: str) -> dict[str, Target]:
        """By name. Not every path names a campaign, a reservation, or a zone."""
        found = {
            "own": Target(reservation=self.ids["East", "collections"], limited=200),
            "another zone": Target(zone="West", reservation=self.ids["West", "collections"]),
            "no zone": Target(zone="Nowhere", reservation="Nowhere~AAAAAAAAAAA", operator=404),
        }
        if "{id}" in path or path == "/v1/admissions" or "{pool}" in path:
            other = self.ids["East", "sales"]
            found["another campaign"] = Target(campaign="sales", reservation=other)
        if "{id}" in path:
            found["no reservation"] = Target(operator=404, limited=404)
        return found


def body_of(path: str, target: Target, now: int) -> Any:
    """A good body for the route."""
    bodies: dict[str, Any] = {
        "/v1/admissions": {"zone": target.zone, "campaign": target.campaign},
        "/v1/admissions/batch": {"requests": []},
        "/v1/reservations/batch": {"reports": []},
        "/v1/zones/{zone}/snapshot": {"taken_at": now, "pools": {"a:1": {"total": 1, "unused": 1}}},
        "/v1/zones/{zone}/pools/{pool}/limit": {"limit": 500, "ttl_ms": 60_000},
        "/v1/zones/{zone}/policy": POLICY,
        "/v1/zones/{zone}/agents/{agent}/guid": {"guid": "4e2c0c76.AgentGateway1"},
    }
    return bodies.get(path)


def expected(caller: str, method: str, path: str, target: Target) -> int:
    """The status that the API's contract says."""
    if caller == "viewer" and path == "/metrics":
        return 403  # it contains all zones, and cannot be reduced
    found = _expected(caller, method, path, target)
    return 404 if path in WITHOUT_AGENTS and found == 200 else found


def _expected(caller: str, method: str, path: str, target: Target) -> int:
    roles = ROLES[method, path]
    if None in roles:
        return 200
    if caller in STRANGERS:
        return 401
    if caller == "operator":
        return target.operator if names_something(path) else 200
    asked_as = "limited" if caller == "dialer" and "limited" in roles else caller
    if asked_as not in roles:
        return 403
    return target.limited if names_something(path) else 200


def names_something(path: str) -> bool:
    """Is it about a zone, a reservation or a campaign?"""
    return "{" in path or path in ("/v1/admissions", "/v1/reservations")


async def granted(http: ClientSession, zone: str, campaign: str) -> str:
    body = {"zone": zone, "campaign": campaign, "wait_ms": 20_000}
    headers = {"Authorization": "Bearer operator"}
    async with http.post("/v1/admissions", json=body, headers=headers) as answer:
        return str((await answer.json())["reservations"][0]["id"])


@pytest.fixture
async def guarded(redis_url: str) -> AsyncIterator[GuardedService]:
    zones = {name: parse_policy(POLICY) for name in ("East", "West")}
    settings = Settings(redis=RedisSettings(url=redis_url, timeout_ms=10_000), zones=zones)
    async with open_service(settings, Telemetry()) as service:
        app = create_app(service, credentials=Credentials(TOKENS), default_zone="East")
        async with serving(app) as server:
            made = GuardedService(server.http, (await service.zone("East").get_keys()).current)
            for zone, campaign in (("East", "collections"), ("East", "sales"),
                                   ("West", "collections")):  # fmt: skip
                made.ids[zone, campaign] = await granted(server.http, zone, campaign)
            yield made


def url_of(guarded: GuardedService, path: str, target: Target) -> str:
    query = f"?zone={target.zone}" if path == "/v1/reservations" else ""
    genuine = make_token(guarded.secret, guarded.ids["East", "collections"], "collections")
    return (query and path + query) or path.format(
        zone=target.zone,
        pool=f"campaign:{target.campaign}",
        id=target.reservation,
        token=genuine,
        agent="1001",
        file="app.css",
    )


# These zones have no source that counts by agents: an allowed request finds none.
WITHOUT_AGENTS: Final = {"/v1/zones/{zone}/agents/{agent}/guid"}
# Followed for as long as it is open; its own tests check the roles.
STREAMS: Final = {"/v1/events"}


async def test_every_role_gets_the_listed_status(guarded: GuardedService) -> None:
    wrong, tried = [], 0
    for route in routes():
        if route.path in STREAMS:
            continue
        for what, target in guarded.targets(route.path).items():
            for caller in ("operator", *LIMITED, *STRANGERS):
                status, problem = await ask(guarded, route.method, route.path, target, caller)
                tried += 1
                wanted = expected(caller, route.method, route.path, target)
                if status != wanted or (status >= 400 and not problem):
                    wrong.append((route.method, route.path, what, caller, status, wanted))
    assert wrong == []
    assert tried > 500


async def ask(
    guarded: GuardedService, method: str, path: str, target: Target, caller: str
) -> tuple[int, bool]:
    """The status, and whether it is a problem that says the same."""
    headers = {"Authorization": f"Bearer {caller}"} if caller else {}
    body = body_of(path, target, await now(guarded)) if method != "GET" else None
    url = url_of(guarded, path, target)
    async with guarded.http.request(method, url, json=body, headers=headers) as answer:
        if answer.status < 400:
            await answer.read()
            return answer.status, False
        problem = await answer.json(content_type="application/problem+json")
        return answer.status, problem["status"] == answer.status


async def now(guarded: GuardedService) -> int:
    headers = {"Authorization": "Bearer operator"}
    async with guarded.http.get("/v1/zones/East/time", headers=headers) as answer:
        return int((await answer.json())["now"])


async def test_a_problem_discloses_nothing_of_other_tenants(guarded: GuardedService) -> None:
    headers = {"Authorization": "Bearer dialer"}
    foreign = guarded.ids["East", "sales"]
    for method, path in (("GET", f"/v1/reservations/{foreign}"),
                         ("POST", f"/v1/reservations/{foreign}/end"),
                         ("GET", "/v1/zones/West/time"),
                         ("PUT", "/v1/zones/East/pools/campaign:sales/limit")):  # fmt: skip
        async with guarded.http.request(method, path, headers=headers) as answer:
            assert answer.status == 403
            text = await answer.text()
        assert "sales" not in text
        assert "West" not in text


async def test_the_list_of_a_dialer_has_its_own_reservations_only(guarded: GuardedService) -> None:
    headers = {"Authorization": "Bearer dialer"}
    async with guarded.http.get("/v1/reservations", headers=headers) as answer:
        found = (await answer.json())["reservations"]
    assert {one["campaign"] for one in found} == {"collections"}

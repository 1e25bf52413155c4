"""Credentials: tokens, roles, and the lists of campaigns and zones."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from admission.domain.types import Role
from admission.errors import ConfigError, Forbidden
from admission.http.app import create_app
from admission.http.auth.report_links import make_token
from admission.http.auth.tokens import ANONYMOUS, Caller, Credentials, Token
from admission.http.problems import Unauthorized
from admission.http.routes import routes
from tests.support.http_server import ASK, ID, NOW, POLICY, FakeDecider, Server, serving
from tests.support.tokens import ROLES, bearer, token

EVERY_ROUTE: Final = [(route.method, route.path) for route in routes()]
BODIES: Final[dict[str, Any]] = {
    "/v1/admissions": ASK,
    "/v1/admissions/batch": {"requests": []},
    "/v1/reservations/batch": {"reports": []},
    "/v1/zones/{zone}/agents/{agent}/guid": {"guid": "4e2c0c76.AgentGateway1"},
    "/v1/zones/{zone}/snapshot": {"taken_at": NOW, "total": 1, "unused": {"sip": 1}},
    "/v1/zones/{zone}/pools/{pool}/limit": {"limit": 5, "ttl_ms": 1000},
    "/v1/zones/{zone}/policy": POLICY,
}


TOKEN: Final = make_token(b"secret of East", ID, "collections")
LIMIT: Final = BODIES["/v1/zones/{zone}/pools/{pool}/limit"]


@pytest.fixture
async def guarded(decider: FakeDecider) -> AsyncIterator[Server]:
    """One token for each role, one dialer with lists, one viewer of a zone."""
    tokens = [token(role.value, role) for role in Role]
    tokens.append(token("limited", campaigns=["collections", "sales"], zones=["East"]))
    tokens.append(token("east-viewer", Role.VIEWER, zones=["East"]))
    app = create_app(decider, credentials=Credentials(tokens), default_zone="East")
    async with serving(app) as served:
        yield served


async def test_every_role_at_every_route(guarded: Server) -> None:
    wrong = []
    for method, path in EVERY_ROUTE:
        for role in [*Role, None]:
            url = path.format(
                id=ID,
                zone="East",
                pool="campaign:collections",
                token=TOKEN,
                agent=1001,
                file="app.css",
            )
            body = BODIES.get(path) if method != "GET" else None
            async with guarded.http.request(method, url, json=body, headers=bearer(role)) as answer:
                may = role in ROLES[method, path] | {"operator"}
                wanted = 200 if may else 401 if role is None else 403
                if answer.status != wanted:
                    wrong.append((method, path, role, answer.status, wanted))
    assert wrong == []


async def test_metrics_may_be_public(decider: FakeDecider) -> None:
    credentials = Credentials([token("one")])
    app = create_app(decider, credentials=credentials, metrics_public=True)
    async with serving(app) as served, served.http.get("/metrics") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "dialer",
        "Basic ZGlhbGVy",
        "Basic dialer",
        "Bearer wrong",
        "Bearer Dialer",
    ],
)
async def test_without_a_known_token_nothing_is_decided(
    guarded: Server, decider: FakeDecider, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with guarded.http.post("/v1/admissions", json=ASK, headers=headers) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"]) == (401, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert decider.calls == []


async def test_the_scheme_may_be_written_small(guarded: Server) -> None:
    headers = {"Authorization": "bearer dialer"}
    async with guarded.http.post("/v1/admissions", json=ASK, headers=headers) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/admissions", {**ASK, "campaign": "other"}),
        ("POST", "/v1/admissions", {**ASK, "zone": "West"}),
        ("POST", "/v1/admissions", {**ASK, "zone": "Nowhere"}),
        ("POST", "/v1/reservations/West~x7Yk2mPq0aZ/end", {}),
        ("POST", f"/v1/reservations/{ID}/renew", {"reservation": {**ASK, "campaign": "other"}}),
        ("GET", "/v1/reservations/West~x7Yk2mPq0aZ", None),
        ("GET", "/v1/reservations?zone=West", None),
        ("GET", "/v1/reservations?campaign=other", None),
        ("GET", "/v1/zones/West/time", None),
        ("PUT", "/v1/zones/East/pools/campaign:other/limit", LIMIT),
        ("PUT", "/v1/zones/East/pools/trunk:collections/limit", LIMIT),
        ("PUT", "/v1/zones/West/pools/campaign:collections/limit", LIMIT),
    ],
)
async def test_beyond_its_lists_a_dialer_is_refused(
    guarded: Server, decider: FakeDecider, method: str, path: str, body: Any
) -> None:
    headers = bearer("limited")
    async with guarded.http.request(method, path, json=body, headers=headers) as answer:
        assert answer.status == 403
    assert decider.calls == []


async def test_in_a_batch_only_forbidden_requests_are_refused(guarded: Server) -> None:
    asks = [ASK, {**ASK, "campaign": "other"}, {**ASK, "campaign": "sales"}]
    headers = bearer("limited")
    body = {"requests": asks}
    async with guarded.http.post("/v1/admissions/batch", json=body, headers=headers) as answer:
        results = (await answer.json())["results"]
    assert [one["status"] for one in results] == [200, 403, 200]


async def test_a_dialers_campaigns_reach_the_ledger_as_its_scope(
    guarded: Server, decider: FakeDecider
) -> None:
    scope, headers = ["collections", "sales"], bearer("limited")
    async with guarded.http.post(f"/v1/reservations/{ID}/end", headers=headers):
        pass
    async with guarded.http.get(f"/v1/reservations/{ID}", headers=headers):
        pass
    async with guarded.http.get("/v1/reservations", headers=headers):
        pass
    report, one, page = decider.calls
    assert report[2]["scope"] == one[3] == page[2]["scope"] == scope


async def test_a_dialer_may_limit_only_a_campaign_that_its_token_lists(
    guarded: Server, decider: FakeDecider
) -> None:
    path = "/v1/zones/East/pools/campaign:collections/limit"
    for name, status in (("limited", 200), ("dialer", 403), ("operator", 200)):
        async with guarded.http.put(path, json=LIMIT, headers=bearer(name)) as answer:
            assert (name, answer.status) == (name, status)
    scopes = [limit.scope for _, _, limit in decider.calls]
    assert scopes == [["collections", "sales"], None]


async def test_the_owner_is_the_tokens_name_unless_it_is_given(
    guarded: Server, decider: FakeDecider
) -> None:
    for body in (ASK, {**ASK, "owner": "d-7"}):
        async with guarded.http.post("/v1/admissions", json=body, headers=bearer("limited")):
            pass
    assert [op["owner"] for _, _, op in decider.calls] == ["limited", "d-7"]


async def test_a_viewer_of_a_zone_sees_no_other(guarded: Server) -> None:
    headers = bearer("east-viewer")
    async with guarded.http.get("/v1/zones", headers=headers) as answer:
        assert [one["zone"] for one in (await answer.json())["zones"]] == ["East"]
    for path in ("/v1/zones/West", "/metrics"):
        async with guarded.http.get(path, headers=headers) as answer:
            assert answer.status == 403


async def test_without_tokens_every_request_is_allowed(http: ClientSession) -> None:
    async with http.post("/v1/admissions", json=ASK, headers=bearer("whatever")) as answer:
        assert answer.status == 200


def test_a_token_may_expire() -> None:
    now = 100.0
    credentials = Credentials([token("t", expires_at_s=101.0)], clock=lambda: now)
    assert credentials.authenticate("Bearer t").name == "t"
    now = 101.0
    with pytest.raises(Unauthorized, match="expired"):
        credentials.authenticate("Bearer t")


def test_tokens_can_be_replaced() -> None:
    credentials = Credentials([token("old")])
    credentials.replace([token("new")])
    assert credentials.authenticate("Bearer new").name == "new"
    with pytest.raises(Unauthorized):
        credentials.authenticate("Bearer old")


def test_tokens_stay_required_after_all_are_removed() -> None:
    credentials = Credentials()
    credentials.replace([])
    assert (credentials.configured, credentials.count) == (False, 0)
    assert credentials.authenticate("Bearer whatever") is ANONYMOUS
    credentials.replace([token("one")])
    assert (credentials.configured, credentials.count) == (True, 1)


def test_the_last_token_cannot_be_removed() -> None:
    credentials = Credentials([token("one")])
    with pytest.raises(ConfigError):
        credentials.replace([])
    with pytest.raises(Unauthorized):
        credentials.authenticate(None)


def test_a_malformed_digest_is_refused() -> None:
    with pytest.raises(ConfigError, match="one"):
        Credentials([Token(name="one", sha256="abc", role=Role.VIEWER)])


def test_strange_bytes_in_a_token_are_only_unknown() -> None:
    with pytest.raises(Unauthorized):
        Credentials([token("one")]).authenticate("Bearer \udcff\u20ac")


def test_only_a_dialer_is_limited_to_campaigns() -> None:
    assert token("v", Role.VIEWER, campaigns=["a"]).caller().scope is None
    assert token("d", campaigns=["b", "a"]).caller().scope == ["a", "b"]
    assert token("d", campaigns=[]).caller().scope == []


def test_an_empty_list_is_none_of_them() -> None:
    empty = Caller(name="n", role=Role.DIALER, campaigns=frozenset(), zones=frozenset())
    with pytest.raises(Forbidden):
        empty.require_campaign("a")
    assert not empty.may_see_zone("East")
    assert ANONYMOUS.may_see_zone("East")

"""Who did what by hand: pauses, limits, policies, ends by force."""

import hashlib
from typing import Any

from aiohttp import ClientSession

from admission.domain.types import Role, TemporaryLimit
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.service.service import Service
from tests.support.http_server import serving
from tests.support.service import replicas

ZONE = "/v1/zones/East"


def token(name: str, role: Role) -> Token:
    return Token(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), role=role)


def as_(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def call(http: ClientSession, method: str, path: str, who: str, body: Any = None) -> Any:
    async with http.request(method, path, json=body, headers=as_(who)) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def guarded(service: Service) -> Any:
    tokens = [token("ann", Role.OPERATOR), token("dialer", Role.DIALER)]
    return serving(create_app(service, credentials=Credentials(tokens), default_zone="East"))


async def deeds(http: ClientSession, query: str = "") -> list[tuple[Any, ...]]:
    page = await call(http, "GET", f"{ZONE}/audit{query}", "ann")
    return [(one["actor"], one["action"], one["target"]) for one in page["entries"]]


async def test_operator_actions_are_recorded_newest_first(redis_url: str) -> None:
    async with replicas(redis_url, 1) as (one,), guarded(one.service) as server:
        http = server.http
        granted = await call(http, "POST", "/v1/admissions", "dialer", {"campaign": "c"})
        reservation = granted["reservations"][0]["id"]
        await call(http, "POST", f"{ZONE}/pools/campaign:c/pause", "ann")
        await call(http, "POST", f"{ZONE}/pools/campaign:c/resume", "ann")
        await call(http, "PUT", f"{ZONE}/pools/campaign:c/limit", "ann",
                   {"limit": 1, "ttl_ms": 60_000})  # fmt: skip
        await call(http, "PATCH", f"{ZONE}/policy", "ann", {"headroom": 1})
        await call(http, "POST", f"/v1/reservations/{reservation}/end", "ann")
        assert await deeds(http) == [
            ("ann", "end", reservation),
            ("ann", "policy", None),
            ("ann", "limit", "campaign:c"),
            ("ann", "resume", "campaign:c"),
            ("ann", "pause", "campaign:c"),
            ("the file", "begin", None),
        ]


async def test_unchanged_state_and_dialer_requests_are_not_recorded(redis_url: str) -> None:
    async with replicas(redis_url, 1) as (one,), guarded(one.service) as server:
        http = server.http
        limit = {"limit": 1, "ttl_ms": 60_000}
        granted = await call(http, "POST", "/v1/admissions", "dialer", {"campaign": "c"})
        for _ in range(2):
            await call(http, "POST", f"{ZONE}/pause", "ann")
            await call(http, "PUT", f"{ZONE}/pools/campaign:c/limit", "ann", limit)
        path = f"/v1/reservations/{granted['reservations'][0]['id']}/end"
        await call(http, "POST", path, "dialer")
        assert [did for _, did, _ in await deeds(http)] == ["limit", "pause", "begin"]


async def test_older_entries_are_requested_by_the_last_id(redis_url: str) -> None:
    async with replicas(redis_url, 1) as (one,), guarded(one.service) as server:
        http = server.http
        for verb in ("pause", "resume", "pause"):
            await call(http, "POST", f"{ZONE}/{verb}", "ann")
        newest = (await call(http, "GET", f"{ZONE}/audit?limit=2", "ann"))["entries"]
        assert [one["action"] for one in newest] == ["pause", "resume"]
        assert newest[0]["time"] >= newest[1]["time"] > 0
        assert newest[0]["detail"] == {"version": 4}
        older = await deeds(http, f"?before={newest[-1]['id']}")
        assert [did for _, did, _ in older] == ["pause", "begin"]
        assert await deeds(http, "?before=0-0") == []


async def test_the_newest_thousand_are_kept(redis_url: str) -> None:
    async with replicas(redis_url, 1) as (one,):
        for n in range(1300):
            await one.service.zone("East").set_limit(
                TemporaryLimit(pool="campaign:c", limit=n, ttl_ms=60_000, by="ann")
            )
        kept = (await one.service.zone("East").list_audit_entries(5000, None))["entries"]
    assert 1000 <= len(kept) <= 1200
    assert kept[0]["detail"]["limit"] == 1299


async def test_replicas_share_the_secret_of_report_urls_and_restore_it(
    redis_url: str, redis_sync: Any
) -> None:
    async with replicas(redis_url) as (a, b):
        keys = await a.service.zone("East").get_keys()
        assert await b.service.zone("East").get_keys(refresh=True) == keys
        redis_sync.flushall()
        await a.service.zone("East").get_status()  # meets a Redis that lost everything
        assert await b.service.zone("East").get_keys(refresh=True) == keys

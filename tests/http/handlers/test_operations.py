"""Pauses, limits and policies over HTTP: what reaches the decider, and what is refused before."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from admission.domain.types import TemporaryLimit
from admission.errors import Conflict, Invalid, NotFound, PreconditionFailed
from admission.http.schemas.repairs import ClearAnswer
from admission.http.schemas.responses import LimitAnswer, PauseAnswer, PolicyAnswer
from tests.support.http_server import LIVE, NOW, POLICY, FakeDecider, problem

ZONE = "/v1/zones/East"
LIMIT = f"{ZONE}/pools/campaign:collections/limit"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_zone_is_paused_and_resumed(
    http: ClientSession, decider: FakeDecider, verb: str
) -> None:
    async with http.post(f"{ZONE}/{verb}") as answer:
        found = PauseAnswer.model_validate(await answer.json())
    assert (answer.status, found.pool, found.paused) == (200, None, verb == "pause")
    assert decider.calls == [("set_paused", "East", None, verb == "pause")]


@pytest.mark.parametrize(
    ("path", "pool"),
    [
        ("mpp:mpp1", "mpp:mpp1"),
        ("mpp%3Ampp1%3asip", "mpp:mpp1:sip"),
        ("campaign:collections", "campaign:collections"),
        ("trunk:carrier-a", "trunk:carrier-a"),
        ("channel:sip", "channel:sip"),
        ("agent:a.b_c-1", "agent:a.b_c-1"),
    ],
)
async def test_a_pool_is_named_in_full_its_colons_encoded_or_not(
    http: ClientSession, decider: FakeDecider, path: str, pool: str
) -> None:
    url = URL(f"{ZONE}/pools/{path}/pause", encoded=True)
    async with http.post(url) as answer:
        assert answer.status == 200
    assert decider.calls == [("set_paused", "East", pool, True)]


@pytest.mark.parametrize(
    "pool",
    ["zone", "mpps", "East", "campaign:", ":x", "campaign:*", "mpp:a:b:c", "Trunk:a", "a%20b:c",
     "campaign:a%2Fb", "campaign:a%0A", "%00:a", "campaign:" + "a" * 65],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "verb"), [("POST", "pause"), ("POST", "resume"), ("PUT", "limit")]
)
async def test_an_invalid_pool_name_is_not_found(
    http: ClientSession, decider: FakeDecider, pool: str, method: str, verb: str
) -> None:
    url = URL(f"{ZONE}/pools/{pool}/{verb}", encoded=True)
    body = {"limit": 1, "ttl_ms": 1} if verb == "limit" else None
    async with http.request(method, url, json=body) as answer:
        await problem(answer, 404, decider)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "pause"),
        ("POST", "resume"),
        ("POST", "pools/mpp:mpp1/pause"),
        ("PUT", "pools/mpp:mpp1/limit"),
        ("GET", "policy"),
        ("PUT", "policy"),
        ("PATCH", "policy"),
    ],
)
async def test_an_unknown_zone(
    http: ClientSession, decider: FakeDecider, method: str, path: str
) -> None:
    async with http.request(method, f"/v1/zones/Nowhere/{path}", json={}) as answer:
        await problem(answer, 404, decider)


async def test_what_was_set_aside_is_cleared(http: ClientSession, decider: FakeDecider) -> None:
    async with http.delete("/v1/zones/East/aside") as answer:
        found = ClearAnswer.model_validate(await answer.json())
    assert (answer.status, found.cleared) == (200, 2)
    assert decider.calls == [("clear_aside", "East")]


async def test_a_limit_is_set(http: ClientSession, decider: FakeDecider) -> None:
    async with http.put(LIMIT, json={"limit": 42, "ttl_ms": 15_000}) as answer:
        found = LimitAnswer.model_validate(await answer.json())
    assert (answer.status, found.limit, found.temporary_limit_until) == (200, 42, NOW + 15_000)
    limit = TemporaryLimit(pool="campaign:collections", limit=42, ttl_ms=15_000, by=decider.by)
    assert decider.calls == [("set_limit", "East", limit)]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": 2**31}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"limit": None}, "limit"),
        ({"limit": True}, "limit"),
        ({"ttl_ms": 0}, "ttl_ms"),
        ({"ttl_ms": 86_400_001}, "ttl_ms"),
        ({"ttl_ms": None}, "ttl_ms"),
        ({"ttl": 5}, "ttl"),
    ],
)
async def test_a_wrong_field_of_a_limit(
    http: ClientSession, decider: FakeDecider, changed: dict[str, Any], field: str
) -> None:
    async with http.put(LIMIT, json={"limit": 1, "ttl_ms": 1, **changed}) as answer:
        found = await problem(answer, 422, decider)
    assert field in [one["field"] for one in found["errors"]]


async def test_the_largest_limit_and_time_are_taken(http: ClientSession) -> None:
    async with http.put(LIMIT, json={"limit": 2**31 - 1, "ttl_ms": 86_400_000}) as answer:
        assert answer.status == 200


async def test_the_policy_is_shown_with_its_version_as_etag(http: ClientSession) -> None:
    async with http.get(f"{ZONE}/policy") as answer:
        body = await answer.json()
    assert answer.headers["ETag"] == '"7"'
    assert body == {**LIVE, "zone": "East"}
    assert PolicyAnswer.model_validate(body).version == 7


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        ('"7"', {7}),
        ('"7", "8"', {7, 8}),
        ('W/"7"', set()),
        ('W/"7", "8"', {8}),
        ('"7,8", W/"a,b", "9"', {9}),
        ('"seven"', set()),
        ('"007"', set()),
        ('""', set()),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_if_match_names_the_versions_that_may_be_replaced(
    http: ClientSession, decider: FakeDecider, method: str, header: Any, versions: Any
) -> None:
    headers = {} if header is None else {"If-Match": header}
    async with http.request(method, f"{ZONE}/policy", json=POLICY, headers=headers) as answer:
        assert (answer.status, answer.headers["ETag"]) == (200, '"7"')
    assert decider.calls == [(f"{method.lower()}_policy", "East", POLICY, versions)]


@pytest.mark.parametrize("header", ["7", "", '"7', '"7",', '* , "7"', "'7'", "7, 8"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_malformed_if_match_changes_nothing(
    http: ClientSession, decider: FakeDecider, method: str, header: str
) -> None:
    headers = {"If-Match": header}
    async with http.request(method, f"{ZONE}/policy", json=POLICY, headers=headers) as answer:
        found = await problem(answer, 400, decider)
    assert "If-Match" in found["detail"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (PreconditionFailed("The live policy is version 9."), 412),
        (Conflict("others"), 409),
        (Invalid(), 422),
        (NotFound("no pool"), 404),
    ],
)
async def test_faults_of_a_change_are_problems(
    http: ClientSession, decider: FakeDecider, fault: Exception, status: int
) -> None:
    decider.fault = fault
    async with http.put(f"{ZONE}/policy", json=POLICY, headers={"If-Match": '"7"'}) as answer:
        body = await answer.json(content_type="application/problem+json")
    assert (answer.status, body["status"]) == (status, status)
    assert "ETag" not in answer.headers


async def test_a_patch_may_have_its_own_content_type(
    http: ClientSession, decider: FakeDecider
) -> None:
    patch = {"campaigns": {"collections": {"limit": None}}}
    body = json.dumps(patch)
    async with http.patch(f"{ZONE}/policy", data=body, headers=MERGE_PATCH) as answer:
        assert answer.status == 200
    assert decider.calls == [("patch_policy", "East", patch, None)]


@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("PUT", "policy", "application/merge-patch+json"),
        ("PUT", "policy", "text/plain"),
        ("PATCH", "policy", "application/json-patch+json"),
        ("PATCH", "policy", "text/plain"),
        ("PUT", "pools/campaign:collections/limit", "application/merge-patch+json"),
    ],
)
async def test_another_content_type(
    http: ClientSession, decider: FakeDecider, method: str, path: str, media_type: str
) -> None:
    headers = {"Content-Type": media_type}
    async with http.request(method, f"{ZONE}/{path}", data="{}", headers=headers) as answer:
        await problem(answer, 415, decider)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "policy"), ("PATCH", "policy"), ("PUT", "pools/campaign:collections/limit")],
)
@pytest.mark.parametrize("body", ["", "{", "{} {}", '{"x":NaN}', "[" * 5000])
async def test_a_body_that_is_not_json_is_refused(
    http: ClientSession, decider: FakeDecider, method: str, path: str, body: str
) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.request(method, f"{ZONE}/{path}", data=body, headers=headers) as answer:
        await problem(answer, 400, decider)

"""Pushed snapshots: who may push which pools, and how many at once."""

import hashlib
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from admission.domain.types import PUSHED_POOLS_MAX, Role
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.http.handlers import zones
from tests.support.http_server import NOW, FakeDecider, problem, serving

PATH = "/v1/zones/East/snapshot"


def build_push(pools: int) -> dict[str, Any]:
    counts = {"total": 1, "unused": 1}
    return {"taken_at": NOW, "pools": {f"agent:{n}": counts for n in range(pools)}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (build_push(3), 200),
        ({"taken_at": NOW, "pools": {"trunk:a": {"total": 1, "unused": 1}}}, 200),
        ({"taken_at": NOW, "pools": {"trunk:b": {"total": 1, "unused": 1}}}, 403),
        ({"taken_at": NOW, "total": 5, "unused": {"sip": 1}}, 200),
        ({"taken_at": NOW, "total": 5, "unused": {"h323": 1}}, 403),
        ({"taken_at": NOW, "total": 5, "unused": {"sip": 1}, "mpp": "m1"}, 403),
    ],
)
async def test_a_source_pushes_its_pools_only(
    decider: FakeDecider, body: dict[str, Any], status: int
) -> None:
    listed = ["agent:*", "trunk:a", "channel:sip"]
    sha256 = hashlib.sha256(b"s").hexdigest()
    token = Token(name="s", sha256=sha256, role=Role.SOURCE, pools=listed)
    headers = {"Authorization": "Bearer s"}
    app = create_app(decider, credentials=Credentials([token]))
    async with serving(app) as server, server.http.put(PATH, json=body, headers=headers) as answer:
        assert answer.status == status
    assert len(decider.calls) == (status == 200)


async def test_a_push_has_a_bound(http: ClientSession, decider: FakeDecider) -> None:
    async with http.put(PATH, json=build_push(PUSHED_POOLS_MAX)) as answer:
        assert answer.status == 200
    decider.calls.clear()
    async with http.put(PATH, json=build_push(PUSHED_POOLS_MAX + 1)) as answer:
        await problem(answer, 422, decider)


async def test_a_push_of_14000_pools_is_refused_before_it_is_parsed(
    http: ClientSession, decider: FakeDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object) -> None:
        raise AssertionError("parsing some 14,000 pools takes the loop for tens of milliseconds")

    monkeypatch.setattr(zones, "parse", parse)
    body = json.dumps(build_push(14_000), separators=(",", ":"))
    assert len(body) < 1 << 20
    async with http.put(PATH, data=body, headers={"Content-Type": "application/json"}) as answer:
        await problem(answer, 422, decider)

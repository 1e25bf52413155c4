"""Every field that a real service answers stands in the schema of its answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from admission import __version__
from admission.http.ids import make_signed_id
from admission.http.openapi.document import describe
from admission.http.routes import routes
from tests.support.polling import ScriptedSource
from tests.support.service import (
    EAST,
    SOURCE,
    ServiceHarness,
    serve_service,
    service_settings,
)

# Counted by snapshots: its pools, recovery and lease have all of their fields.
PUSHED = """
[zones.West]
source = "push"
channels = ["sip"]
launch_within_ms = 1
claim_within_ms = 0
[zones.West.mpps]
mpp1 = { sip = 5 }
[zones.West.campaigns."*"]
"""


def strict(schema: Any) -> Any:
    """The schema without the freedom to add fields: the one that a client relies on."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(one) for name, one in schema.items()}
    if "properties" in closed and "type" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.fixture(scope="module")
def spec() -> Any:
    return describe(routes(), __version__)


class Described:
    """Sends requests, and compares each answer with the schema of its route."""

    def __init__(self, harness: ServiceHarness, spec: Any) -> None:
        self.harness = harness
        self._spec = spec

    async def send(self, method: str, template: str, body: Any = None, **path: str) -> Any:
        status, answer = await self.harness.send(method, template.format(**path), body)
        assert status == 200, answer
        operation = self._spec["paths"][template][method.lower()]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        self._compare(schema, answer)
        return answer

    def _compare(self, schema: Any, answer: Any) -> None:
        components = {"schemas": strict(self._spec["components"]["schemas"])}
        whole = {"components": components, **schema}
        errors = [
            f"{one.json_path}: {one.message}"
            for one in Draft202012Validator(whole).iter_errors(answer)
        ]
        assert errors == []


@pytest.fixture
async def described(redis_url: str, spec: Any) -> AsyncIterator[Described]:
    async with serve_service(service_settings(EAST + PUSHED, redis_url)) as harness:
        await harness.can_grant()
        yield Described(harness, spec)


async def test_decisions_and_reports(described: Described) -> None:
    send = described.send
    ask = {"campaign": "collections", "channel": "sip", "request_id": "r", "mpp": "mpp1"}
    granted = await send("POST", "/v1/admissions", ask | {"pools": ["trunk:carrier-a"]})
    one = granted["reservations"][0]["id"]
    repeated = await send("POST", "/v1/admissions", ask | {"pools": ["trunk:carrier-a"]})
    assert repeated["repeated"]
    await send("POST", "/v1/admissions", {"campaign": "c", "dry_run": True, "explain": True})
    await send("POST", "/v1/admissions/batch", {"requests": [{"campaign": "c"}, {"campaign": "c"}]})
    taken = {"port_taken": True, "session_id": "s-1", "mpp": "mpp1"}
    await send("POST", "/v1/reservations/{id}/launched", taken, id=one)
    await send("POST", "/v1/reservations/{id}/renew", id=one)
    live = await send("GET", "/v1/reservations/{id}", id=one)
    assert (live["port_taken"], live["session_id"]) == (True, "s-1")
    known = {"zone": "East", "channel": "sip", "campaign": "c"}
    keys = await described.harness.service.zone("East").get_keys()
    lost = "East~" + make_signed_id(b"12345678", keys.current)
    adopted = await send("POST", "/v1/reservations/{id}/renew", {"reservation": known}, id=lost)
    assert adopted["adopted"]
    await send("GET", "/v1/reservations/{id}", id=lost)
    await send("POST", "/v1/reservations/batch", {"reports": [{"op": "end", "id": one}]})
    ended = await send("GET", "/v1/reservations/{id}", id=one)
    assert ended["outcome"] == "completed"
    page = await send("GET", "/v1/reservations")
    assert len(page["reservations"]) > 1


async def test_status_and_operations(described: Described) -> None:
    send = described.send
    template = "/v1/zones/{zone}/pools/{pool}/limit"
    pool = {"zone": "East", "pool": "campaign:collections"}
    limited = await send("PUT", template, {"limit": 0, "ttl_ms": 60_000}, **pool)
    assert limited["temporary_limit"] == 0
    await send("POST", "/v1/admissions", {"campaign": "collections"})
    await send("POST", "/v1/zones/{zone}/pools/{pool}/pause", zone="East", pool="mpp:mpp1")
    await send("POST", "/v1/zones/{zone}/pause", zone="East")
    rotated = await send("POST", "/v1/zones/{zone}/keys", {"keep_ms": 1000}, zone="East")
    assert rotated["accepted_until"] - rotated["now"] == 1000
    policy = await send("GET", "/v1/zones/{zone}/policy", zone="East")
    assert policy["paused"]
    await send("PATCH", "/v1/zones/{zone}/policy", {"headroom": 1}, zone="East")
    await send("PUT", "/v1/zones/{zone}/policy", policy["policy"], zone="East")
    status = await send("GET", "/v1/zones/{zone}", zone="East")
    assert [one["reason"] for one in status["recent_denials"]] == ["campaign_limit"]
    pools = {one["pool"]: one for one in status["pools"]}
    assert pools["campaign:collections"]["temporary_limit_until"] > status["now"]
    audit = await send("GET", "/v1/zones/{zone}/audit", zone="East")
    assert {one["action"] for one in audit["entries"]} >= {
        "limit",
        "pause",
        "policy",
        "begin",
        "rotate",
    }


async def test_a_zone_that_is_fed_by_snapshots(described: Described) -> None:
    send = described.send
    now = (await send("GET", "/v1/zones/{zone}/time", zone="West"))["now"]
    counts = {"taken_at": now, "total": 10, "unused": {"sip": 7}}
    accepted = await send("PUT", "/v1/zones/{zone}/snapshot", counts, zone="West")
    assert accepted["accepted"]
    refused = await send("PUT", "/v1/zones/{zone}/snapshot", counts | {"total": 1}, zone="West")
    assert refused["refused"]
    await send("POST", "/v1/admissions", {"zone": "West", "campaign": "c"})
    status = await send("GET", "/v1/zones/{zone}", zone="West")
    pools = {one["pool"]: one for one in status["pools"]}
    assert pools["channel:sip"]["snapshot"]["total"] == 10
    await send("GET", "/v1/zones")


async def test_a_zone_that_is_polled(redis_url: str, spec: Any, source: ScriptedSource) -> None:
    zone = PUSHED.replace(
        '"push"', '"epm"\nsource_zone = "W1"\npoll_interval_ms = 50\npoll_min_ms = 10'
    )
    async with serve_service(service_settings(SOURCE + zone, redis_url)) as harness:
        send = Described(harness, spec).send
        await source.wait_for_query("W1", ("sip",))
        while not (await harness.service.zone("West").get_status())["sources"][0].get("polls"):
            pass
        polled = await send("GET", "/v1/zones/{zone}", zone="West")
        assert polled["sources"][0]["source"] == "epm"
        assert polled["lease"]["holder"]


async def test_health(described: Described) -> None:
    await described.send("GET", "/healthz")
    await described.send("GET", "/readyz")


def test_a_field_outside_its_schema_is_found(spec: Any) -> None:
    described = Described(None, spec)  # type: ignore[arg-type]
    schema = {"$ref": "#/components/schemas/Time"}
    described._compare(schema, {"now": 1})
    with pytest.raises(AssertionError, match="more"):
        described._compare(schema, {"now": 1, "more": 2})

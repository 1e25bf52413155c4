"""The largest bodies, right and wrong: none blocks the event loop (conftest.py watches it)."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from admission.http.parsing import BODY_BYTES_MAX, FIELDS_MAX
from tests.support.http_server import ASK, ID, NOW

FIELDS = FIELDS_MAX - 10
ASKS = [{**ASK, "pools": [f"trunk:t{n}" for n in range(8)]}] * 1000
KNOWN = {"zone": "East", "channel": "sip", "campaign": "collections", "pools": ["trunk:a"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/admissions", {f"f{n}": 0 for n in range(FIELDS)}, 422),
        ("POST", "/v1/admissions", {**ASK, "owner": "x" * 1_000_000}, 422),
        ("POST", "/v1/admissions", {**ASK, "pools": [0] * 300_000}, 422),
        ("POST", "/v1/admissions/batch", {"requests": ASKS}, 200),
        ("POST", "/v1/admissions/batch", {"requests": [{"campaign": ""}] * 1000}, 200),
        (
            "POST",
            "/v1/admissions/batch",
            {"requests": [{f"f{n}": 0 for n in range(58)}] * 1000},
            422,
        ),
        (
            "POST",
            "/v1/admissions/batch",
            {"requests": [{f"f{n}": 0 for n in range(38)}] * 1000},
            200,
        ),
        ("POST", "/v1/admissions/batch", {"requests": [[[]] * 5] * 50_000}, 400),
        ("POST", "/v1/admissions/batch", {"requests": [{}] * 300_000}, 400),
        ("POST", "/v1/admissions/batch", {"requests": ["ab"] * 79_000}, 422),
        ("POST", "/v1/admissions/batch", {"requests": [0] * 300_000}, 422),
        (
            "POST",
            "/v1/reservations/batch",
            {"reports": [{"op": "renew", "id": ID, "reservation": KNOWN}] * 1000},
            200,
        ),
        (
            "PUT",
            "/v1/zones/East/snapshot",
            {"taken_at": NOW, "pools": {f"a:{n}": {"total": 1, "unused": 1} for n in range(2000)}},
            200,
        ),
        (
            "PUT",
            "/v1/zones/East/snapshot",
            {"taken_at": NOW, "pools": {f"a:{n}": {"total": 1, "unused": 1} for n in range(9000)}},
            422,
        ),
        (
            "PUT",
            "/v1/zones/East/snapshot",
            {"taken_at": NOW, "pools": {f"{n}": 0 for n in range(FIELDS)}},
            422,
        ),
        (
            "PUT",
            "/v1/zones/East/snapshot",
            {"taken_at": NOW, "total": 1, "unused": {f"c{n}": n or None for n in range(FIELDS)}},
            422,
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
async def test_a_large_body_is_answered(
    http: ClientSession, method: str, path: str, body: Any, status: int
) -> None:
    text = json.dumps(body, separators=(",", ":")).encode()
    assert len(text) <= BODY_BYTES_MAX
    headers = {"Content-Type": "application/json"}
    async with http.request(method, path, data=text, headers=headers) as answer:
        assert answer.status == status

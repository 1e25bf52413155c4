"""The C2 signature, against what Huawei's own signer made of the same requests."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import pytest

from admission.sources.huawei.signature import (
    build_authorization,
    build_canonical_request,
    format_timestamp,
    percent_encode,
)
from tests.support.paths import FILES

VECTORS: dict[str, Any] = json.loads((FILES / "c2_vectors.json").read_text("utf-8"))
SHOWN = {"content-type": "application/json;charset=UTF-8", "host": "10.22.26.181:28080"}
LICENCE = {
    "method": "POST",
    "path": "/rest/cmsapp/v1/openapi/configures/querysystemlicensestatus",
    "body": b'{"ccId":1}',
}
QUERY = {
    "method": "GET",
    "path": "/rest/isales/v1/openapi/campaigns/1/queryOBSResultCode",
    "query": [("pageSize", "10"), ("name", "a b/中"), ("pageNum", "1")],
    "body": b"",
}
ALL = ("content-length", "content-type", "host")
REQUESTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "A-license-3hdr": (LICENCE, ALL),
    "B-license-hostonly": (LICENCE, ("host",)),
    "C-get-query": (QUERY, ("host",)),
}


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_a_request_is_signed_as_the_vendor_signs_it(vector: dict[str, str]) -> None:
    request, signed = REQUESTS[vector["name"]]
    headers = SHOWN | {"content-length": str(len(request["body"]))}

    canonical = build_canonical_request(**request, headers=headers, signed=signed)
    header = build_authorization(
        VECTORS["access_key"], VECTORS["secret_key"], VECTORS["timestamp"], signed, canonical
    )

    assert canonical == vector["canonical_request"]
    assert header == vector["authorization"]


def test_every_vector_has_its_request() -> None:
    assert {vector["name"] for vector in VECTORS["vectors"]} == set(REQUESTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AZaz09-._~", "AZaz09-._~"),
        ("a b+c*d/e", "a%20b%2Bc%2Ad%2Fe"),
        ("中", "%E4%B8%AD"),
        (b'{"ccId":1}', "%7B%22ccId%22%3A1%7D"),
    ],
)
def test_only_unreserved_characters_stay(text: str | bytes, expected: str) -> None:
    assert percent_encode(text) == expected
    assert unquote(percent_encode(text)).encode() == (
        text if isinstance(text, bytes) else text.encode()
    )


def test_the_time_is_utc_with_or_without_milliseconds() -> None:
    moment = datetime(2024, 1, 2, 5, 4, 5, 67_891, timezone(timedelta(hours=2)))

    assert format_timestamp(moment) == "2024-01-02T03:04:05Z"
    assert format_timestamp(moment, "milliseconds") == "2024-01-02T03:04:05.067Z"
    assert format_timestamp(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)) == VECTORS["timestamp"]


@pytest.mark.parametrize(
    "change",
    [{"body": b'{"ccId":2}'}, {"path": "/other"}, {"method": "PUT"}, {"query": [("a", "1")]}],
)
def test_every_change_changes_the_signature(change: dict[str, Any]) -> None:
    def signed(request: dict[str, Any]) -> str:
        canonical = build_canonical_request(**request, headers=SHOWN, signed=("host",))
        return build_authorization("key", "secret", VECTORS["timestamp"], ("host",), canonical)

    assert signed(LICENCE) != signed(LICENCE | change)

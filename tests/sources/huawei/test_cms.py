"""Licence usage as CC-CMS answers it, over real loopback connections."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from admission.config.sources.huawei import HuaweiCmsSettings
from admission.domain.snapshots import Snapshot
from admission.errors import SourceError
from admission.sources.huawei.cms import HuaweiCmsSource
from admission.sources.huawei.signature import build_authorization, build_canonical_request
from tests.support.paths import FILES
from tests.support.polling import make_policy
from tests.support.scripted_platform import Answer, fixed, platform, raw_platform

EXAMPLE: dict[str, Any] = json.loads((FILES / "huawei_licence.json").read_text("utf-8"))
SECRET = "c2-secret-in-tests"
WRAP = 4294967295
ALL = ("voice", "ivr", "web")


def settings(url: str, **said: Any) -> HuaweiCmsSettings:
    usual = {
        "url": url.removesuffix("/ep"),
        "path": "/ep",
        "access_key": "outcall",
        "secret_key": SECRET,
        "timeout_ms": 20_000,
    }
    return HuaweiCmsSettings.model_validate(usual | said)


async def asked(
    url: str, channels: tuple[str, ...] = ALL, cc_id: str = "1", **said: Any
) -> Snapshot:
    source = HuaweiCmsSource("cms", settings(url, **said))
    try:
        return await source.query("East", make_policy(channels, source_zone=cc_id))
    finally:
        await source.close()


async def refused(url: str, **said: Any) -> str:
    with pytest.raises(SourceError) as caught:
        await asked(url, **said)
    assert caught.value.detail.isprintable()
    assert SECRET not in caught.value.detail
    assert caught.value.__cause__ is None
    return caught.value.detail


def counted(**counters: Any) -> Answer:
    return answered(resultDesc=EXAMPLE["resultDesc"] | counters)


def answered(**fields: Any) -> Answer:
    return fixed(json.dumps(EXAMPLE | fields).encode(), content_type="application/json")


def counts_of(snapshot: Snapshot) -> dict[str, tuple[int, int]]:
    return {
        pool.removeprefix("channel:"): (group.total, unused)
        for group in snapshot.groups
        for pool, unused in group.unused.items()
    }


async def test_the_documented_example_is_read() -> None:
    async with platform(answered()) as url:
        snapshot = await asked(url)

    assert counts_of(snapshot) == {"voice": (6, 5), "ivr": (4, 4)}
    assert snapshot.absent == ("channel:web",)
    assert snapshot.notes == {
        "agents_signed_in": 1,
        "agents_licensed": 4,
        "vdns": 1,
        "vdns_licensed": 10,
    }
    assert snapshot.warnings == ()


@pytest.mark.parametrize("odd", ["7", True, -1, 2**31, 1.5, None, [1]])
async def test_a_value_that_is_no_count_is_ignored(odd: Any) -> None:
    async with platform(counted(loginAgentNum=odd)) as url:
        snapshot = await asked(url)

    assert set(snapshot.notes) == {"agents_licensed", "vdns", "vdns_licensed"}


@pytest.mark.parametrize(
    "fields",
    [
        {"resultDesc": "success"},
        {"resultDesc": "", "resultDatas": [EXAMPLE["resultDatas"]]},
        {"resultDatas": None},
        {"resultCode": None},  # versions up to 8.13 have `result` alone
    ],
)
async def test_counters_are_found_where_old_and_new_versions_have_them(
    fields: dict[str, Any],
) -> None:
    async with platform(answered(**fields)) as url:
        assert counts_of(await asked(url)) == {"voice": (6, 5), "ivr": (4, 4)}


@pytest.mark.parametrize("field", ["licenseMaxIvrCallNum", "ivrCallNum"])
@pytest.mark.parametrize("value", [WRAP, str(WRAP)])
async def test_minus_one_in_32_bits_in_either_number_is_no_number(field: str, value: Any) -> None:
    async with platform(counted(**{field: value})) as url:
        snapshot = await asked(url, ("voice", "ivr"))

    assert counts_of(snapshot) == {"voice": (6, 5)}
    assert snapshot.absent == ("channel:ivr",)


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ({"voiceCallNum": 6}, (6, 0)),
        ({"voiceCallNum": 9}, (6, 0)),  # a licence lowered below its use
        ({"voiceCallNum": "2"}, (6, 4)),
        # No counts: handed on as they are, so that the ledger refuses and counts them.
        ({"voiceCallNum": WRAP - 1}, (6, 6 - (WRAP - 1))),
        ({"voiceCallNum": -3}, (6, 9)),
        ({"licenseMaxVoiceCallNum": WRAP - 1}, (WRAP - 1, WRAP - 2)),
        ({"licenseMaxVoiceCallNum": -1}, (-1, -2)),
    ],
)
async def test_room_is_what_the_licence_allows_minus_the_calls(
    counters: dict[str, Any], expected: tuple[int, int]
) -> None:
    async with platform(counted(**counters)) as url:
        assert counts_of(await asked(url, ("voice",))) == {"voice": expected}


async def test_an_expired_licence_is_a_warning_beside_the_counts() -> None:
    async with platform(counted(licenseEndDate=20200101)) as url:
        snapshot = await asked(url)

    assert (snapshot.notes["licence_ends"], snapshot.notes["licence_expired"]) == (
        "2020-01-01",
        True,
    )
    assert snapshot.warnings == ("the licence expired on 2020-01-01",)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            answered(resultCode="0100001", resultDesc="failed"),
            "error 0100001: it failed there: failed",
        ),
        (
            answered(resultCode="0100002", resultDesc="bad ccId"),
            "0100002: a parameter is wrong: check",
        ),
        (answered(resultCode="0100003", resultDesc=""), "error 0100003: it needs a newer CTI"),
        (answered(resultCode="0100999", resultDesc=None), "error 0100999: unknown error there"),
        (answered(resultCode="0101003"), "error 0101003: this user has no permission"),
        (answered(resultCode="0100042", resultDesc=f"x {SECRET}"), "error 0100042: x ***"),
        (answered(resultCode=None, result="5"), "error 5: not a known code"),
        (answered(resultCode=None, result=""), "error no resultCode"),
        (answered(resultDesc="", resultDatas=None), "no counters in resultDesc or resultDatas"),
        (answered(resultDesc={}), "licenseMaxVoiceCallNum is missing"),
        (counted(voiceCallNum="many"), "voiceCallNum is not an integer"),
        (counted(voiceCallNum=1.5), "voiceCallNum is not an integer"),
        (counted(voiceCallNum=True), "voiceCallNum is not an integer"),
        (fixed(b"<html/>"), "answered with an HTML page or XML"),
        (fixed(b""), "answered with nothing"),
        (fixed(b"[1]"), "the answer is no JSON object"),
        (fixed(b"[" * 100_000), "the answer is JSON that is nested too deeply"),
        (fixed(b"{" + b" " * 300_000), "longer than 256 KiB"),
        (fixed(b"oops", status=500), "failed with HTTP status 500"),
        (fixed(status=404), "there is no such service (404): check the url"),
        (fixed(status=403), "the user has no permission (403)"),
        (fixed(status=302, headers={"Location": "/"}), "redirects (302)"),
        (fixed(b"{}", headers={"Content-Encoding": "gzip"}), "compressed"),
    ],
)
async def test_an_answer_without_counts_is_one_clear_line(answer: Answer, says: str) -> None:
    async with platform(answer) as url:
        assert says in await refused(url)


async def test_a_refused_signature_names_the_settings_to_check() -> None:
    async with platform(fixed(status=401)) as url:
        error = await refused(url)

    place = url.split("/")[2]
    assert error.startswith(
        f"querysystemlicensestatus at {place}: the credentials are refused (401): "
        "check access_key and secret_key; not sent again for "
    )


@pytest.mark.parametrize(("minutes", "says"), [(20, " s behind"), (-20, " s ahead")])
async def test_a_refused_signature_names_a_clock_difference(minutes: int, says: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    async with platform(fixed(status=401, headers={"Date": date})) as url:
        assert f"{says}; not sent again" in await refused(url)


@pytest.mark.parametrize(
    "reply", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_bytes_that_are_no_answer_are_an_error_without_the_signature(reply: bytes) -> None:
    async with raw_platform(reply) as url:
        assert "auth-v2" not in await refused(url)


async def test_an_unreachable_platform_is_named() -> None:
    async with platform(answered()) as url:
        pass
    assert "cannot connect" in await refused(url)


@pytest.mark.parametrize("channels", [(), ("sip",)])
async def test_channels_that_the_platform_does_not_count_are_not_queried(
    channels: tuple[str, ...],
) -> None:
    async with platform(answered()) as url:
        assert "this platform counts voice, ivr, web" in await refused(url, channels=channels)


@pytest.mark.parametrize("cc_id", ["East", "", "true", "0", "65536", "٣", "-1", "1.0", "000001"])
async def test_a_zone_without_its_number_is_not_queried(cc_id: str) -> None:
    async with platform(answered()) as url:
        assert "ccId, a number up to 65535" in await refused(url, cc_id=cc_id)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"signed_headers": ["content-length", "content-type", "host"]},
        {"timestamp_format": "milliseconds"},
    ],
)
async def test_the_very_bytes_that_are_sent_are_signed(said: dict[str, Any]) -> None:
    seen: list[tuple[dict[str, str], bytes, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((headers, await request.read(), request.raw_path))
        return web.json_response(EXAMPLE)

    async with platform(answer) as url:
        await asked(url, cc_id="7", **said)

    [(headers, body, path)] = seen
    version, key, at, signed, _ = headers["authorization"].split("/")
    names = tuple(signed.split(";"))
    canonical = build_canonical_request("POST", path, headers=headers, signed=names, body=body)
    assert (version, key, json.loads(body)) == ("auth-v2", "outcall", {"ccId": 7})
    assert headers["authorization"] == build_authorization(key, SECRET, at, names, canonical)
    assert names == tuple(said.get("signed_headers", ["host"]))
    assert ("." in at) == ("timestamp_format" in said)

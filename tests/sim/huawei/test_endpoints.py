"""The simulated Huawei platforms as a client meets them: signatures, codes, misbehaviour."""

import asyncio
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from admission.config.sources.huawei import LICENCE_PATH
from admission.sources.huawei.signature import (
    build_authorization,
    build_canonical_request,
    format_timestamp,
)
from tests.support.huawei_platform import Center, center, quiet
from tests.support.huawei_service import simulated
from tests.support.secrets import CMS_SECRET

BODY = b'{"ccId":1}'


async def asked(
    at: Center,
    *,
    body: bytes = BODY,
    signed_body: bytes | None = None,
    key: str = "outcall",
    secret: str = CMS_SECRET,
    minutes: float = 0,
    signed: tuple[str, ...] = ("host",),
) -> tuple[int, Any]:
    """-> status, and the JSON of a 200."""
    headers = {
        "host": at.url.removeprefix("http://"),
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    what = body if signed_body is None else signed_body
    canonical = build_canonical_request(
        "POST", LICENCE_PATH, headers=headers, signed=signed, body=what
    )
    moment = format_timestamp(datetime.now(UTC) + timedelta(minutes=minutes), "milliseconds")
    headers["authorization"] = build_authorization(key, secret, moment, signed, canonical)
    async with at.http.post(at.url + LICENCE_PATH, data=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.status == 200 else None


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 200),
        ({"signed": ("content-length", "content-type", "host")}, 200),
        ({"minutes": 14}, 200),
        ({"minutes": -14}, 200),
        ({"minutes": 16}, 401),
        ({"minutes": -16}, 401),
        ({"secret": "other"}, 401),
        ({"key": "other"}, 401),
        ({"signed_body": b'{"ccId":2}'}, 401),
    ],
)
async def test_a_signature_is_verified_and_good_for_a_quarter_of_an_hour(
    said: dict[str, Any], status: int
) -> None:
    async with center(simulated()) as at:
        assert (await asked(at, **said))[0] == status


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic x",
        "auth-v2/outcall/now/host/0",
        "auth-v2/outcall/2024-01-02T03:04:05/host/0",
        "auth-v2/outcall/2024-01-02T03:04:05Z/date/0",
    ],
)
async def test_a_malformed_signature_is_refused(header: str) -> None:
    async with center(simulated()) as at:
        headers = {"Authorization": header} if header else {}
        async with at.http.post(at.url + LICENCE_PATH, data=BODY, headers=headers) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    "body",
    [
        b'{"ccId":2}',
        b'{"ccId":true}',
        b'{"ccId":1.0}',
        b'{"ccId":"1"}',
        b"{}",
        b"[]",
        b"x",
        b"[" * 9_999,
    ],
)
async def test_another_call_centre_is_a_wrong_parameter(body: bytes) -> None:
    async with center(simulated()) as at:
        status, answer = await asked(at, body=body)

    assert (status, answer["resultCode"]) == (200, "0100002")
    assert isinstance(answer["resultDesc"], str)


async def test_counters_follow_calls_and_unlicensed_ones_are_minus_one() -> None:
    async with center(simulated(lag_ms=0)) as at:
        await at.control("POST", "/occupy", {"calls": 2, "hold_ms": 60_000, "channel": "ivr"})
        _, answer = await asked(at)
        await at.control("PUT", "/licences/voice", {"calls": 9})
        _, after = await asked(at)

    counts = answer["resultDesc"]
    assert (counts["voiceCallNum"], counts["ivrCallNum"]) == (2, 2)
    assert (counts["licenseMaxVoiceCallNum"], counts["licenseMaxIvrCallNum"]) == (6, 4)
    assert counts["licenseMaxWebCallNum"] == counts["webCallNum"] == 4294967295
    assert answer["resultDatas"] == counts
    assert after["resultDesc"]["licenseMaxVoiceCallNum"] == 9


async def test_a_call_is_launched_followed_and_hung_up() -> None:
    async with center(quiet()) as at:
        session = (await at.control("POST", "/calls", {"channel": "voice"}))["session"]
        seen = await at.control("GET", f"/sessions/{session}?since=1&wait_ms=30000")
        done = await at.control("DELETE", f"/sessions/{session}")
        events = (await at.control("GET", "/events"))["events"]

    assert seen["state"] == "port_taken"
    assert done["hung_up"] is True
    assert [one["state"] for one in (events[0], events[-1])] == ["port_taken", "ended"]
    assert {one["session"] for one in events} == {session}


async def test_foreign_calls_can_be_started() -> None:
    async with center(quiet()) as at:
        change = {"rate_per_s": 500, "hold_ms_mean": 600_000, "agents": True}
        await at.control("PUT", "/others/inbound", change)
        await at.until(lambda truth: truth["free"]["agent:1001"] == 0)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/faults", {"faults": [{"kind": "sulk"}]}, 422),
        ("POST", "/calls", {"channel": "fax"}, 404),
        ("POST", "/calls", {"channel": "voice", "agent": 9}, 404),
        ("POST", "/calls", {"channels": "voice"}, 422),
        ("POST", "/occupy", {"calls": 0, "hold_ms": 1}, 422),
        ("PUT", "/others/x", {"rate_per_s": 1, "channel": "fax"}, 404),
        ("PUT", "/licences/fax", {"calls": 1}, 404),
        ("POST", "/agents/1001/rotate", None, 404),
        ("POST", "/agents/1001/promote", None, 404),
        ("POST", "/agents/x/rotate", None, 404),
        ("GET", "/sessions/none", None, 404),
    ],
)
async def test_a_wrong_request_is_refused(method: str, path: str, body: Any, status: int) -> None:
    async with (
        center(quiet()) as at,
        at.http.request(method, f"{at.url}/sim{path}", json=body) as answer,
    ):
        assert answer.status == status
        assert "error" in await answer.json()


async def test_faults_can_be_listed_and_removed() -> None:
    async with center(simulated()) as at:
        await at.misbehave("html", "licence", times=2)
        listed = await at.control("GET", "/faults")
        async with at.http.post(at.url + LICENCE_PATH) as answer:
            first = await answer.text()
        await at.behave()
        status, _ = await asked(at)

    assert listed["faults"][0]["times"] == 2
    assert first.startswith("<html>")
    assert status == 200


async def test_a_hanging_request_does_not_delay_the_stop() -> None:
    async with center(simulated()) as at:
        await at.misbehave("hang", times=1)
        hanging = asyncio.create_task(asked(at))
        while (await at.control("GET", "/faults"))["faults"][0]["times"]:
            pass
    with pytest.raises((aiohttp.ClientError, asyncio.CancelledError)):
        await hanging


async def test_the_simulator_runs_from_the_command_line() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admission", "simulate", "huawei", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, line
            async with aiohttp.ClientSession() as http, http.get(f"{found[0]}/sim/truth") as answer:
                truth = await answer.json()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert truth["capacity"]["voice"] == 60

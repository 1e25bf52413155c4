"""What the source makes of a platform that misbehaves."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from admission.errors import ConfigError, SourceError
from admission.sources.experience_portal.soap import SoapFault
from admission.sources.experience_portal.source import ExperiencePortalSource
from admission.sources.transport import BODY_BYTES_MAX
from tests.support.envelopes import counts, envelope, fault
from tests.support.polling import make_policy
from tests.support.scripted_platform import (
    BOTH,
    Answer,
    fixed,
    platform,
    raw_platform,
    refused,
    settings,
)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (fixed(b"<html>Sorry</html>", content_type="text/html"), "answered with an HTML page"),
        (fixed(b""), "answered with nothing"),
        (fixed(b"OK"), "the answer is not XML"),
        (fixed(counts("NaN")), "totalRes_returned is not an integer: 'NaN'"),
        (fixed(counts(sip="1e3")), "unusedSIP_returned is not an integer: '1e3'"),
        (
            fixed(envelope("<QueryResourcesResponse/>")),
            "the answer has no totalRes_returned",
        ),
        (
            fixed(status=401, headers={"WWW-Authenticate": 'Digest realm="x"'}),
            "the credentials are refused (401), the platform demands Digest, auth is basic",
        ),
        (fixed(status=401), "the platform demands no known scheme"),
        (fixed(status=403), "needs the Web Services role"),
        (fixed(status=404), "check the url"),
        (fixed(status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirects (302)"),
        (fixed(b"<html/>", status=503), "failed with HTTP status 503"),
        (fixed(counts(), status=500), "failed with HTTP status 500"),
        (
            fixed(counts(), headers={"Content-Encoding": "x-thing"}),
            "the answer is compressed",
        ),
    ],
)
async def test_a_bad_answer_is_named(answer: Answer, says: str) -> None:
    async with platform(answer) as url:
        error = await refused(url)

    assert says in error.detail


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_a_fault_is_read_whatever_its_status(status: int) -> None:
    async with platform(fixed(fault(7, "user s3cret may not"), status=status)) as url:
        error = await refused(url)

    assert isinstance(error, SoapFault)
    assert (error.return_code, error.description) == ("7", "user *** may not")
    assert error.detail.endswith(": fault 7: user *** may not")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<a", "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "does not speak proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_999, "does not speak proper HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "does not speak proper HTTP",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
            "the answer is compressed",
        ),
    ],
)
async def test_bytes_that_are_no_http_answer_are_named(reply: bytes, says: str) -> None:
    async with raw_platform(reply) as url:
        error = await refused(url)

    assert says in error.detail


async def test_a_challenge_that_makes_no_sense_is_named() -> None:
    challenge = 'Digest realm="x", nonce="y", algorithm=NONE, domain="http://[::::/"'
    for text in (challenge, 'Digest qop="x"', "Digest x", "Digest"):
        answer = fixed(status=401, headers={"WWW-Authenticate": text})
        async with platform(answer) as url:
            await refused(url, auth="digest")


@pytest.mark.parametrize("announced", [True, False])
async def test_an_endless_answer_is_given_up_early(announced: bool) -> None:
    sent, over = 0, asyncio.Event()
    size = 100 * 2**20

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        if announced:
            response.content_length = size
        await response.prepare(request)
        try:
            for _ in range(size // 65_536):
                await response.write(b" " * 65_536)
                sent += 65_536
        finally:
            over.set()
        return response

    async with platform(answer) as url:
        error = await refused(url)
        await over.wait()

    assert f"longer than {BODY_BYTES_MAX // 1024} KiB" in error.detail
    assert sent < 16 * 2**20  # what fits into the buffers of the sockets


async def test_a_platform_that_hangs_is_left_in_time() -> None:
    gone = asyncio.Event()

    async def answer(_request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return web.Response()

    async with platform(answer) as url:
        error = await refused(url, timeout_ms=50)
        await gone.wait()

    assert error.detail.endswith("no answer within 50 ms")


async def test_a_platform_that_trickles_is_left_in_time() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.005)

    async with platform(answer) as url:
        error = await refused(url, timeout_ms=50)

    assert error.detail.endswith("no answer within 50 ms")


async def test_a_reset_connection_is_named_and_nothing_is_sent_twice() -> None:
    requests = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        assert request.transport
        request.transport.abort()
        return web.Response()

    async with platform(answer) as url:
        error = await refused(url)

    assert "connection" in error.detail
    assert requests == 1


async def test_a_refused_connection_is_named() -> None:
    async with raw_platform(b"") as url:
        pass

    error = await refused(url)

    assert "cannot connect" in error.detail


async def test_plain_http_where_tls_is_expected_is_named() -> None:
    async with raw_platform(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        error = await refused(url.replace("http:", "https:"))

    assert "TLS could not be agreed on" in error.detail


async def test_a_closed_source_raises() -> None:
    async with platform(fixed(counts())) as url:
        source = ExperiencePortalSource("epm", settings(url))
        await source.query("East", make_policy(BOTH))
        await source.close()
        await source.close()
        with pytest.raises(SourceError, match="this connection is closed"):
            await source.query("East", make_policy(BOTH))


def test_a_ca_file_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for file in (empty, tmp_path / "absent.pem"):
        said = settings("https://epm.example.com/", ca_file=str(file))
        with pytest.raises(ConfigError, match="ca_file"):
            ExperiencePortalSource("epm", said)

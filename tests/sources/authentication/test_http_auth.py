"""Credentials on the wire: what is sent, what is sent again, and what is not."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from admission.config.secret_refs import FileSecret
from admission.config.sources.huawei import HuaweiCmsSettings
from admission.errors import SourceError
from admission.sources.authentication.gate import PAUSE_S_MIN, CredentialGate, CredentialsRefused
from admission.sources.experience_portal.source import ExperiencePortalSource
from admission.sources.http_json import HttpJsonSource
from admission.sources.huawei.cms import HuaweiCmsSource
from tests.support.envelopes import counts, envelope
from tests.support.http_peer import Peer, say, serve_peer, settings, zone_policy
from tests.support.polling import make_policy
from tests.support.scripted_platform import settings as portal_settings

GOOD = {"total": 9, "used": 2}


def refuse(*challenges: str) -> Any:
    async def answer(_request: web.Request) -> web.Response:
        response = web.Response(status=401)
        for challenge in challenges:
            response.headers.add("WWW-Authenticate", challenge)
        return response

    return answer


def demand(pair: bytes, *challenges: str) -> Any:
    """Accept one Basic pair, of exactly these bytes."""
    expected = "Basic " + base64.b64encode(pair).decode()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") == expected:
            return web.json_response(GOOD)
        return await refuse(*challenges)(request)

    return answer


@asynccontextmanager
async def asking(url: str, **said: Any) -> AsyncIterator[HttpJsonSource]:
    usual: dict[str, Any] = {"auth": "basic", "username": "u", "password": "s3cret"}
    source = HttpJsonSource("sbc", settings(url, **(usual | said)))
    try:
        yield source
    finally:
        await source.close()


async def error_of(source: Any) -> str:
    with pytest.raises(SourceError) as caught:
        await source.query("East", zone_policy())
    return caught.value.detail


# -- a refused password is not sent again at polling pace


async def test_refused_credentials_are_sent_once_however_often_and_from_however_many_zones() -> (
    None
):
    async with serve_peer(refuse('Basic realm="x"')) as peer, asking(peer.url) as source:
        errors = await asyncio.gather(*(error_of(source) for _ in range(10)))
        errors += [await error_of(source) for _ in range(10)]
    assert len(peer.seen) == 1
    assert all("refused (401)" in one and "not sent again for" in one for one in errors)


async def test_refused_credentials_are_sent_again_at_once_after_a_reload() -> None:
    async with serve_peer(refuse('Basic realm="x"')) as peer, asking(peer.url) as source:
        await error_of(source)
        peer.answer = say(GOOD)
        await error_of(source)
        source.forget_refusal()
        assert (await source.query("East", zone_policy())).groups
    assert len(peer.seen) == 2


async def test_a_changed_secret_file_is_sent_at_once(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("new")
    answer = demand(b"u:new", 'Basic realm="x"')
    secret = FileSecret("old", str(file))
    async with serve_peer(answer) as peer, asking(peer.url, password=secret) as source:
        file.write_text("old")
        await error_of(source)
        await error_of(source)
        file.write_text("new\n")
        assert (await source.query("East", zone_policy())).groups
    assert len(peer.seen) == 2


async def test_the_experience_portal_and_cc_cms_follow_the_same_rule() -> None:
    cms = HuaweiCmsSettings(url="http://127.0.0.1:1", access_key="a", secret_key=SecretStr("s"))
    async with serve_peer(refuse('Basic realm="x"')) as peer:
        for source in (
            ExperiencePortalSource("epm", portal_settings(peer.url)),
            HuaweiCmsSource("cms", cms.model_copy(update={"url": peer.url})),
        ):
            peer.seen.clear()
            for _ in range(5):
                policy = make_policy(("sip", "voice"), source_zone="1")
                with pytest.raises(CredentialsRefused, match="not sent again"):
                    await source.query("East", policy)
            assert len(peer.seen) == 1
            source.forget_refusal()
            with pytest.raises(CredentialsRefused):
                await source.query("East", policy)
            assert len(peer.seen) == 2
            await source.close()


async def test_a_fault_that_says_the_password_is_wrong_is_a_refusal_too() -> None:
    fault = envelope(
        '<soapenv:Fault xmlns:w="http://docs.oasis-open.org/wss"><faultcode>w:FailedAuthentication'
        "</faultcode><faultstring>The security token could not be authenticated</faultstring>"
        "</soapenv:Fault>"
    )
    answer = say(fault, status=500, content_type="text/xml")
    async with serve_peer(answer) as peer:
        source = ExperiencePortalSource("epm", portal_settings(peer.url))
        for _ in range(3):
            with pytest.raises(CredentialsRefused, match="could not be authenticated"):
                await source.query("East", make_policy(("sip",)))
        await source.close()
    assert len(peer.seen) == 1


async def test_a_failure_that_says_nothing_of_the_password_is_tried_again() -> None:
    async with serve_peer(say("busy", status=503)) as peer, asking(peer.url) as source:
        for _ in range(3):
            assert "503" in await error_of(source)
    assert len(peer.seen) == 3


async def test_the_pauses_outlast_a_lock_of_five_minutes_and_grow() -> None:
    now_s, pauses, began_s = 0.0, [], 0.0
    gate = CredentialGate(lambda: now_s)
    for _ in range(6):
        with pytest.raises(CredentialsRefused):
            async with gate.attempt("wrong"):
                raise CredentialsRefused("no")
        began_s = now_s
        while True:
            now_s += 10
            try:
                async with gate.attempt("wrong"):
                    break
            except CredentialsRefused:
                continue
        pauses.append(now_s - began_s)
    assert pauses == [PAUSE_S_MIN, 660, 1320, 2640, 3600, 3600]


async def test_a_launch_that_rings_does_not_hold_up_the_others() -> None:
    gate, rings = CredentialGate(), asyncio.Event()

    async def ring() -> None:
        async with gate.attempt("p", wait_s=0.0):
            await rings.wait()

    first = asyncio.create_task(ring())
    await asyncio.sleep(0)
    async with gate.attempt("p", wait_s=0.0):
        rings.set()
    await first


# -- Digest


class DigestServer:
    """Accepts any answer to the newest nonce; `challenges` are sent with it."""

    def __init__(self, *challenges: str) -> None:
        self.challenges = challenges
        self.nonce = "n0"
        self.answered: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if f'nonce="{self.nonce}"' in given:
            self.answered.append(given)
            return web.json_response(GOOD)
        filled = (one.replace("NONCE", self.nonce) for one in self.challenges)
        return await refuse(*filled)(request)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "challenges",
    [
        (
            'Digest realm="a", nonce="x", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="a", nonce="NONCE", algorithm=MD5, qop="auth"',
        ),
        (
            'Basic realm="a", Digest realm="a", nonce="y", qop="auth", algorithm=MD5, '
            'Digest realm="a", nonce="NONCE", qop="auth", algorithm=SHA-256',
        ),
        ('Digest realm="a", nonce="NONCE"',),
    ],
)
async def test_digest_answers_the_strongest_challenge_it_knows(challenges: tuple[str, ...]) -> None:
    server = DigestServer(*challenges)
    async with serve_peer(server) as peer, asking(peer.url, auth="digest") as source:
        for _ in range(3):
            assert (await source.query("East", zone_policy())).groups
    assert len(peer.seen) == 4  # one challenge, then its nonce with a growing count
    assert len(set(server.answered)) == (3 if "qop" in challenges[-1] else 1)


@pytest.mark.parametrize("stale", ["", ", stale=true"])
async def test_a_nonce_that_expired_is_replaced(stale: str) -> None:
    server = DigestServer(f'Digest realm="a", nonce="NONCE", qop="auth"{stale}')
    async with serve_peer(server) as peer, asking(peer.url, auth="digest") as source:
        await source.query("East", zone_policy())
        server.nonce = "n1"
        assert (await source.query("East", zone_policy())).groups
    assert len(peer.seen) == 4


@pytest.mark.parametrize(
    ("challenges", "says"),
    [
        (('Digest realm="a", nonce="n", qop="auth"',), "check username and password"),
        (
            ('Digest realm="a", nonce="n", algorithm=SHA-512-256',),
            "demands Digest with SHA-512-256 only: this service has MD5 and SHA-256",
        ),
        (('Basic realm="a"', "NTLM"), "the platform demands Basic or NTLM, auth is digest"),
        ((), "the platform demands no known scheme, auth is digest"),
    ],
)
async def test_a_refusal_says_one_thing_that_is_true(
    challenges: tuple[str, ...], says: str
) -> None:
    async with (
        serve_peer(refuse(*challenges)) as peer,
        asking(peer.url, auth="digest") as source,
    ):
        error = await error_of(source)
    assert says in error
    assert len(peer.seen) == (2 if "password" in says else 1)


# -- Basic beyond ASCII

UMLAUT = {"username": "jürgen", "password": "pässwörd"}
UTF8, LATIN1 = "jürgen:pässwörd".encode(), "jürgen:pässwörd".encode("latin-1")


@pytest.mark.parametrize(
    ("pair", "challenge", "said"),
    [
        (UTF8, 'Basic realm="x"', {}),
        (LATIN1, 'Basic realm="x", charset="ISO-8859-1"', {}),
        (LATIN1, 'Basic realm="x"', {"credentials_charset": "iso-8859-1"}),
        (UTF8, 'Basic realm="x", charset="UTF-8"', {}),
    ],
)
async def test_a_password_beyond_ascii_is_sent_as_the_server_or_a_setting_says(
    pair: bytes, challenge: str, said: dict[str, str]
) -> None:
    async with (
        serve_peer(demand(pair, challenge)) as peer,
        asking(peer.url, **UMLAUT, **said) as source,
    ):
        assert (await source.query("East", zone_policy())).groups


@pytest.mark.parametrize("charset", [None, "iso-8859-1"])
async def test_a_refusal_names_the_other_charset(charset: str | None) -> None:
    async def shown(peer: Peer) -> str:
        async with asking(peer.url, **UMLAUT, credentials_charset=charset) as source:
            return await error_of(source)

    async with serve_peer(refuse('Basic realm="x"')) as peer:
        error = await shown(peer)
    other = "utf-8" if charset else "iso-8859-1"
    assert f'try credentials_charset = "{other}"' in error
    assert len(peer.seen) == 1


async def test_a_good_password_of_the_portal_is_sent_with_the_first_request() -> None:
    async with serve_peer(say(counts(), content_type="text/xml")) as peer:
        source = ExperiencePortalSource("epm", portal_settings(peer.url))
        await source.query("East", make_policy(("sip",)))
        await source.close()
    assert peer.seen[0].headers["Authorization"].startswith("Basic ")

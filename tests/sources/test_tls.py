"""TLS of old appliances: each weakness is a setting with a warning, and no default."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from pydantic import ValidationError

from admission.errors import ConfigError, SourceError
from tests.support.http_peer import ask, settings

GOOD = {"total": 9, "used": 2}


class Pki:
    """An authority, a server's certificate for a name that is not its address, and a client's."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.server = self.authority.issue_cert("epm.internal")
        client = self.authority.issue_cert("admission")
        self.ca_file, self.client = folder / "ca.pem", folder / "client.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        client.private_key_and_cert_chain_pem.write_to_path(str(self.client))
        pem = self.server.cert_chain_pems[0].bytes().decode()
        self.fingerprint = sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@asynccontextmanager
async def serve(pki: Pki, *, newest: str = "", wants_client: bool = False) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pki.server.configure_cert(context)
    if newest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if wants_client:
        pki.authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(GOOD)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def fails(url: str, says: str, **said: Any) -> None:
    with pytest.raises(SourceError, match=says):
        await ask(url, **said)


async def test_a_certificate_of_another_name_needs_that_name(pki: Pki) -> None:
    ca = {"ca_file": str(pki.ca_file)}
    async with serve(pki) as url:
        await fails(url, "its certificate is not trusted")
        await fails(url, "its certificate is not trusted", **ca)
        await fails(url, "its certificate is not trusted", **ca, tls_server_name="epm.other")
        assert (await ask(url, **ca, tls_server_name="epm.internal")).groups


async def test_a_fingerprint_accepts_one_certificate_and_no_other(pki: Pki) -> None:
    shown = ":".join(pki.fingerprint[n : n + 2] for n in range(0, 64, 2)).upper()
    async with serve(pki) as url:
        assert (await ask(url, tls_fingerprint=shown)).groups
        assert (await ask(url, tls_fingerprint=pki.fingerprint)).groups
        await fails(
            url, f"not that of tls_fingerprint: {pki.fingerprint}", tls_fingerprint="0" * 64
        )


async def test_an_older_version_than_the_setting_is_refused(pki: Pki) -> None:
    said = {"tls_fingerprint": pki.fingerprint}
    async with serve(pki, newest="1.2") as url:
        assert (await ask(url, **said)).groups
        await fails(url, "TLS could not be agreed on", **said, tls_min_version="1.3")


async def test_a_client_certificate_is_shown_where_it_is_demanded(pki: Pki) -> None:
    said = {"tls_fingerprint": pki.fingerprint}
    async with serve(pki, wants_client=True) as url:
        await fails(url, "TLS|connect", **said)
        assert (await ask(url, **said, client_cert=str(pki.client))).groups


async def test_a_client_certificate_that_is_none_is_a_configuration_error(pki: Pki) -> None:
    with pytest.raises(ConfigError, match="client_cert"):
        await ask("https://127.0.0.1:9/", client_cert=str(pki.ca_file))


WEAK: dict[str, dict[str, Any]] = {
    "verify_tls": {"verify_tls": False},
    "tls_min_version": {"tls_min_version": "1.0"},
    "tls_server_name": {"tls_server_name": "a"},
    "tls_fingerprint": {"tls_fingerprint": "0" * 64},
}


@pytest.mark.parametrize("name", WEAK)
def test_each_weakness_causes_a_warning(name: str) -> None:
    assert settings("https://a/").warnings == ()
    [warning] = settings("https://a/", **WEAK[name]).warnings
    assert name in warning


@pytest.mark.parametrize(
    ("url", "said", "says"),
    [
        ("http://a/", {"tls_fingerprint": "0" * 64}, "needs TLS"),
        ("https://a/", {"tls_fingerprint": "0" * 40}, "does not match|pattern"),
        ("https://a/", {"tls_server_name": "a", "verify_tls": False}, "no effect"),
        ("https://a/", {"client_key": "a.pem"}, "needs client_cert"),
        ("https://a/", {"tls_server_name": "a", "tls_fingerprint": "0" * 64}, "no effect"),
        ("https://" + "ä" * 70 + ".example/", {}, "does not exist in the DNS"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    url: str, said: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(url, **said)

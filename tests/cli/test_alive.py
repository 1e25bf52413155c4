"""The health check of a container: over plain HTTP, TLS, and mutual TLS."""

import asyncio
from pathlib import Path

import pytest
import trustme

from admission.cli.alive import ask_alive
from admission.config import ServerSettings
from admission.errors import ConfigError, Unavailable
from admission.http.app import create_app
from admission.http.server.tls import Certificates
from tests.support.http_server import FakeDecider, serving


def certificates(folder: Path, *, mutual: bool) -> dict[str, Path]:
    authority, issued = trustme.CA(), trustme.CA().issue_cert("admission.example.com")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    found = {"tls_cert": folder / "cert.pem", "tls_key": folder / "key.pem"}
    if mutual:
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        found["client_ca"] = folder / "ca.pem"
    return found


@pytest.mark.parametrize("with_tls", [None, "tls", "mutual"])
async def test_a_living_service_is_found_alive(tmp_path: Path, with_tls: str | None) -> None:
    files = certificates(tmp_path, mutual=with_tls == "mutual") if with_tls else {}
    listening = Certificates(*files.values()) if files else None
    async with serving(create_app(FakeDecider()), certificates=listening) as served:
        server = ServerSettings(host="127.0.0.1", port=served.port, **files)
        await asyncio.to_thread(ask_alive, server)


async def test_what_does_not_answer_is_not_alive(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match=str(unused_tcp_port)):
        ask_alive(ServerSettings(port=unused_tcp_port))


async def test_what_closes_without_an_answer_is_not_alive() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable):
            await asyncio.to_thread(ask_alive, ServerSettings(port=port))


def test_a_port_that_is_not_fixed_cannot_be_asked() -> None:
    with pytest.raises(ConfigError, match=r"server\.port"):
        ask_alive(ServerSettings(port=0))

"""TLS, mutual TLS, and certificates that are read again while connections live."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientError, ClientSession, TCPConnector

from admission.errors import ConfigError
from admission.http.app import create_app
from admission.http.server.tls import Certificates
from tests.support.http_server import FakeDecider, serving

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(folder: Path, authority: trustme.CA) -> tuple[Path, Path]:
    """A new certificate of the service, under the same names."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    issued = authority.issue_cert(HOST)
    issued.private_key_pem.write_to_path(str(key))
    cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    return cert, key


def trusting(authority: trustme.CA, client: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        client.issue_cert("dialer@example.com").configure_cert(context)
    return context


@asynccontextmanager
async def client(port: int, context: ssl.SSLContext) -> AsyncIterator[ClientSession]:
    url = f"https://{HOST}:{port}"
    async with ClientSession(url, connector=TCPConnector(ssl=context)) as session:
        yield session


async def status(session: ClientSession) -> int:
    async with session.get("/healthz") as answer:
        return answer.status


async def serial(port: int, context: ssl.SSLContext) -> str:
    """Of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    return str(shown["serialNumber"])


async def test_the_server_uses_tls(
    tmp_path: Path, authority: trustme.CA, decider: FakeDecider
) -> None:
    certificates = Certificates(*write(tmp_path, authority))
    async with serving(create_app(decider), certificates=certificates) as server:
        async with client(server.port, trusting(authority)) as session:
            assert await status(session) == 200
        async with client(server.port, trusting(trustme.CA())) as session:
            with pytest.raises(ClientError):
                await status(session)


@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(
    tmp_path: Path, authority: trustme.CA, decider: FakeDecider, old: ssl.TLSVersion
) -> None:
    context = trusting(authority)
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        context.minimum_version = context.maximum_version = old
    certificates = Certificates(*write(tmp_path, authority))
    async with serving(create_app(decider), certificates=certificates) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await serial(server.port, context)


async def test_with_an_authority_only_its_clients_are_accepted(
    tmp_path: Path, authority: trustme.CA, decider: FakeDecider
) -> None:
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    certificates = Certificates(*write(tmp_path, authority), tmp_path / "clients.pem")
    async with serving(create_app(decider), certificates=certificates) as server:
        async with client(server.port, trusting(authority, clients)) as session:
            assert await status(session) == 200
        for stranger in (None, trustme.CA()):
            async with client(server.port, trusting(authority, stranger)) as session:
                with pytest.raises((ClientError, ConnectionError)):
                    await status(session)


async def test_reloaded_files_apply_to_new_connections_only(
    tmp_path: Path, authority: trustme.CA, decider: FakeDecider
) -> None:
    clients, others = trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    certificates = Certificates(*write(tmp_path, authority), tmp_path / "clients.pem")
    async with serving(create_app(decider), certificates=certificates) as server:
        ours, theirs = trusting(authority, clients), trusting(authority, others)
        async with client(server.port, ours) as session:
            assert await status(session) == 200
            before = await serial(server.port, ours)
            write(tmp_path, authority)
            others.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
            certificates.reload()
            async with client(server.port, theirs) as new:
                assert await status(new) == 200
            assert await serial(server.port, theirs) != before
            assert await status(session) == 200  # the connection of before
        async with client(server.port, ours) as session:
            with pytest.raises((ClientError, ConnectionError)):
                await status(session)


def test_a_broken_file_changes_nothing(tmp_path: Path, authority: trustme.CA) -> None:
    cert, key = write(tmp_path, authority)
    certificates = Certificates(cert, key)
    before = certificates.context.current
    key.write_text("not a key")
    with pytest.raises(ConfigError, match=r"server\.tls_cert, server\.tls_key"):
        certificates.reload()
    assert certificates.context.current is before


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "clients.pem"])
def test_a_missing_file_is_reported(tmp_path: Path, authority: trustme.CA, name: str) -> None:
    cert, key = write(tmp_path, authority)
    ca = tmp_path / "clients.pem"
    authority.cert_pem.write_to_path(str(ca))
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match="No such file"):
        Certificates(cert, key, ca)


def test_a_key_with_a_pass_phrase_is_an_error_without_a_prompt(
    tmp_path: Path, authority: trustme.CA
) -> None:
    from cryptography.hazmat.primitives import serialization

    cert, key = write(tmp_path, authority)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match="pass phrase"):
        Certificates(cert, key)

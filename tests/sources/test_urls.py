"""URLs beyond ASCII as they go over the socket: a valid request, or refused by the settings."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from admission.config.base import HttpUrl
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.config.sources.http_json import HttpJsonSettings
from admission.config.sources.huawei import HuaweiAgentGatewaySettings, HuaweiCmsSettings
from admission.errors import SourceError
from admission.sources.base import Source
from admission.sources.registry import build_source
from tests.support.huawei_platform import POLICY
from tests.support.polling import make_policy
from tests.support.secrets import AGENT_PASSWORD, CMS_SECRET

NAME = "bücher.example"
ASCII_NAME = "xn--bcher-kva.example"


@asynccontextmanager
async def listen() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that keeps the first bytes of each request, and answers 404."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heads


def build(kind: str, url: str) -> Source:
    said: dict[str, Any] = {"url": url, "timeout_ms": 20_000}
    if kind == "experience_portal":
        return build_source("x", ExperiencePortalSettings.model_validate(said | {"auth": "none"}))
    if kind == "http_json":
        sip = {"total": "`1`", "used": "`0`"}
        return build_source("x", HttpJsonSettings.model_validate(said | {"channels": {"sip": sip}}))
    if kind == "huawei_cms":
        said |= {"access_key": "a", "secret_key": CMS_SECRET}
        return build_source("x", HuaweiCmsSettings.model_validate(said))
    agents = [{"id": 1001, "password": AGENT_PASSWORD, "phone": "1"}]
    return build_source("x", HuaweiAgentGatewaySettings.model_validate(said | {"agents": agents}))


async def request(kind: str, url: str) -> str:
    """The head of the first request; URL's PORT is the server's."""
    async with listen() as (port, heads):
        source = build(kind, url.replace("PORT", str(port)))
        counted = make_policy(("sip", "voice"), source_zone="1")
        policy = POLICY if kind == "huawei_agent_gateway" else counted
        try:
            with pytest.raises(SourceError, match="404"):
                await source.query("East", policy)
        finally:
            await source.close()
    return heads[0].decode("ascii").replace(str(port), "PORT")  # nothing beyond ASCII is HTTP


KINDS = ["experience_portal", "http_json", "huawei_cms", "huawei_agent_gateway"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_path_beyond_ascii_is_sent_percent_encoded(kind: str) -> None:
    target = (await request(kind, "http://127.0.0.1:PORT/straße/%C3%A9/x")).split(" ")[1]
    assert target.startswith("/stra%C3%9Fe/%C3%A9/x")


@pytest.mark.parametrize("kind", ["experience_portal", "http_json"])
async def test_a_query_is_sent_as_it_is_written_and_encoded_beyond_ascii(kind: str) -> None:
    head = await request(kind, "http://127.0.0.1:PORT/x?a=1&b=%20ü+(c)&d")
    assert head.split(" ")[1] == "/x?a=1&b=%20%C3%BC+(c)&d"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_host_beyond_ascii_is_looked_up_and_named_in_idna(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = socket.getaddrinfo
    looked_up: list[Any] = []

    def look_up(host: Any, *more: Any, **options: Any) -> Any:
        """No machine knows the name, so it is known here."""
        looked_up.append(host)
        return known("127.0.0.1" if host == ASCII_NAME else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    head = await request(kind, f"http://{NAME}:PORT/x")
    assert f"\r\nhost: {ASCII_NAME}:port\r\n" in head.lower()
    assert ASCII_NAME in looked_up


@pytest.mark.parametrize(
    "url",
    ["http://a b/", "http://" + "ü" * 64 + "/", "http://x/a#b", "http://x/\u202e", "http:///x"],
)
def test_a_url_that_no_request_can_have_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(HttpUrl).validate_python(url)

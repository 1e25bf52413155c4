"""`admission probe` and `check --probe` against platforms that are not the simulator."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from admission.cli.main import main
from tests.support.envelopes import SERVICE, counts
from tests.support.http_peer import Answer, say, serve_peer

WSDL = f"""<?xml version="1.0"?>
<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:t" targetNamespace="urn:t"
  xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/">
<w:types><x:schema xmlns:x="http://www.w3.org/2001/XMLSchema"><x:import namespace="{SERVICE}"
  schemaLocation="?xsd=1"/></x:schema></w:types>
<w:message name="In"><w:part name="p" element="t:QueryResources"/></w:message>
<w:portType name="P"><w:operation name="queryResources"><w:input message="t:In"/></w:operation>
</w:portType>
<w:binding name="B" type="t:P"><s:binding style="document"/><w:operation name="queryResources">
<s:operation soapAction="urn:queryResources"/></w:operation></w:binding>
</w:definitions>"""
XSD = f"""<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="{SERVICE}">
<x:element name="QueryResources"><x:complexType><x:sequence>
<x:element name="ZoneName" type="x:string"/><x:element name="unused" type="x:int"/>
</x:sequence></x:complexType></x:element></x:schema>"""


async def portal(request: web.Request) -> web.StreamResponse:
    if request.method == "GET":
        text = XSD if "xsd" in request.query else WSDL
        return web.Response(text=text, content_type="text/xml")
    return web.Response(body=counts(240, 184, 0), content_type="text/xml")


async def run(answer: Answer, file: Path, text: str, *arguments: str) -> int:
    async with serve_peer(answer) as peer:
        await asyncio.to_thread(file.write_text, text.replace("URL", peer.url))
        return await asyncio.to_thread(main, [*arguments, str(file)])


EPM = """[sources.epm]
type = "experience_portal"
url = "URL/x"
auth = "none"
[zones.East]
source = "epm"
source_zone = "East"
channels = ["sip"]
"""
SBC = """[sources.sbc]
type = "http_json"
url = "URL/x"
channels.sip = { total = "`60`", used = "result.all" }
[zones.East]
source = "sbc"
channels = ["sip"]
"""


async def test_a_check_says_what_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(portal, tmp_path / "a.toml", EPM, "check", "--probe") == 0
    assert "QueryResources, zone East: 240 ports, SIP 184 unused, " in capsys.readouterr().out


async def test_a_probe_prints_the_settings_that_the_wsdl_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(portal, tmp_path / "a.toml", EPM, "probe") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for setting in (
        'request_element = "{operation}"',
        'zone_field = "ZoneName"',
        'unused_field = "unused"',
        "zone_first = true",
        'field_namespace = ""',
        'soap_action = "urn:queryResources"',
    ):
        assert setting in lines


@pytest.mark.parametrize(
    ("answer", "says", "step"),
    [
        (say({}, status=401), "the credentials are refused (401)", "accounts get locked"),
        (say("<html/>", content_type="text/html"), "HTML", "check the path in url"),
        (say({"result": {}}), "gave null", "admission probe FILE shows"),
    ],
)
async def test_a_check_says_why_nothing_came_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer, says: str, step: str
) -> None:
    assert await run(answer, tmp_path / "a.toml", SBC, "check", "--probe", "--json") == 1
    [one] = json.loads(capsys.readouterr().out)["probes"]
    assert says in one["text"]
    assert step in one["next_step"]


async def test_a_probe_shows_what_each_expression_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(say({"result": {"all": "7"}}), tmp_path / "a.toml", SBC, "probe") == 1
    shown = capsys.readouterr().out
    assert "channels.sip.total = `60`  ->  60" in shown
    assert 'channels.sip.used = result.all  ->  "7"' in shown


async def test_a_weak_connection_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SBC.replace('"URL/x"', '"https://127.0.0.1:9/"\nverify_tls = false')
    assert await run(say({}), tmp_path / "a.toml", text, "check") == 0
    assert "warning: [sources.sbc]: verify_tls = false" in capsys.readouterr().err

"""Clients that other SOAP stacks generate from the simulator's two WSDLs really call it.

zeep, which runs in this process: tests/sim/experience_portal/test_zeep.py.
"""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from admission.sim.experience_portal.app import serve_portal
from admission.sim.experience_portal.contract import CURRENT_PATH, LEGACY_PATH
from tests.support.experience_portal import quick
from tests.support.soap_stacks import (
    SOURCES,
    class_path,
    compile_sources,
    generate,
    install_node_client,
    java,
    run_program,
)
from tests.support.tools import tool

pytestmark = pytest.mark.stacks

# Path -> the service's name in its WSDL, and the scheme that the portal demands there.
SERVICES = {LEGACY_PATH: ("AppIntfWS", "digest"), CURRENT_PATH: ("VPAppIntfService", "basic")}
PATHS = pytest.mark.parametrize("path", SERVICES, ids=["legacy", "current"])


async def load_wsdl(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{url}?wsdl") as answer:
        return await answer.text()


async def check_calls(base: str, said: str) -> None:
    """What the client printed is what the portal knows."""
    counts, vxml, ccxml, fault = (line.split() for line in said.splitlines())
    assert counts == ["counts", "3", "2", "1"]
    assert fault == ["fault", "4", "no", "such", "zone"]
    async with aiohttp.ClientSession() as session:
        for (_, id), application, uri in (
            (vxml, "collections", "sip:1@127.0.0.1"),
            (ccxml, "surveys", "tel:2"),
        ):
            async with session.get(f"{base}/sim/sessions/{id}") as answer:
                known = await answer.json()
            assert (known["application"], known["to_uri"]) == (application, uri)


def write_client(stack: str, folder: Path, wsdl: str, path: str) -> list[str]:
    """Generate, compile. Returns the command that runs the client."""
    service, scheme = SERVICES[path]
    generated = generate(stack, wsdl, service, folder / "generated")
    ours = {
        "cxf": ["jaxws/Client.java", "cxf/Login.java"],
        "metro": ["jaxws/Client.java", "metro/Login.java"],
    }.get(stack, [f"{stack}/Client.java"])
    sources = [SOURCES / "java" / one for one in ours]
    classes = compile_sources(stack, folder, sources, service, generated)
    return [*java(), f"-Dscheme={scheme}", "-cp", class_path(stack, classes), "Client"]


@PATHS
@pytest.mark.parametrize("stack", ["axis1", "axis2", "cxf", "metro"])
async def test_a_generated_java_client_queries_launches_and_reads_a_fault(
    stack: str, path: str, tmp_path: Path
) -> None:
    async with serve_portal(quick()) as url:
        wsdl = await load_wsdl(url + path)
        command = await asyncio.to_thread(write_client, stack, tmp_path, wsdl, path)
        called = (*command, url + path, "dialer", "dialer")
        said = await asyncio.to_thread(run_program, *called)
        await check_calls(url, said)


@PATHS
async def test_a_client_of_node_soap_queries_launches_and_reads_a_fault(
    path: str, tmp_path: Path
) -> None:
    client = install_node_client(tmp_path)
    async with serve_portal(quick(legacy_auth="basic")) as url:  # it knows no Digest
        called = (tool("node"), str(client), url + path, "dialer", "dialer")
        said = await asyncio.to_thread(run_program, *called)
        await check_calls(url, said)

"""The source and the launcher against portals of real Java stacks, set up by `admission probe`."""

import asyncio
import shutil
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from admission.cli.main import main
from admission.client import AdmissionClient, Outcome
from admission.client.portal import LaunchFailed, PortalLauncher
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.errors import SourceError
from admission.sim.experience_portal.contract import OPERATIONS, Operation
from admission.sim.experience_portal.wsdl import wsdl
from admission.sources.experience_portal.source import ExperiencePortalSource
from tests.client.conftest import client, harness  # noqa: F401
from tests.support.polling import make_policy
from tests.support.service import ServiceHarness
from tests.support.soap_stacks import (
    SOURCES,
    class_path,
    compile_sources,
    generate,
    java,
    running,
)

pytestmark = pytest.mark.stacks

JAVA = SOURCES / "java"
SERVICE = "VPAppIntfService"
FILE = """[sources.epm]
type = "experience_portal"
url = "{url}"
auth = "none"
timeout_ms = 60000
[zones.West]
source = "epm"
source_zone = "West"
channels = ["sip", "h323"]
"""


def write_axis1(folder: Path) -> list[str]:
    text = wsdl(
        service=SERVICE,
        url="http://127.0.0.1/",
        operations=OPERATIONS,
        action=" ",
        versions=("1.1",),
    )
    generated = generate("axis1", text, SERVICE, folder / "generated", server=True)
    ours = [JAVA / "axis1" / one for one in ("Server.java", "PortalServiceSoap11Impl.java")]
    classes = compile_sources("axis1", folder, ours, SERVICE, generated)
    [deploy] = generated.rglob("deploy.wsdd")
    return [*java(), "-cp", class_path("axis1", classes), "Server", str(deploy)]


def write_axis2(folder: Path) -> list[str]:
    """Its WSDL has the zone first: ADB refuses any other order."""
    query = Operation(
        request={"zone": "string", "queryResourcesRequestUnused": "int"},
        response=OPERATIONS["QueryResources"].response,
    )
    text = wsdl(
        service=SERVICE,
        url="http://127.0.0.1/",
        operations={**OPERATIONS, "QueryResources": query},
        action="",
        versions=("1.1",),
    )
    generated = generate("axis2", text, SERVICE, folder / "generated", server=True)
    ours = [JAVA / "axis2" / one for one in ("Server.java", "PortalServiceSkeleton.java")]
    classes = compile_sources("axis2", folder, ours, SERVICE, generated / "src")
    described = folder / "repository/services" / SERVICE / "META-INF"
    shutil.copytree(generated / "resources", described)
    command = [*java(), "-cp", class_path("axis2", classes), "Server"]
    return [*command, str(folder / "repository")]


def write_by_code(stack: str) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        ours = [JAVA / "jaxws" / one for one in ("Portal.java", "Server.java")]
        classes = compile_sources(stack, folder, ours, "PortalService")
        return [*java(), "-cp", class_path(stack, classes), "Server"]

    return write


# Server -> how it is made, its path, and the settings that its WSDL asks for beside the defaults.
SERVERS: dict[str, tuple[Callable[[Path], list[str]], str, dict[str, Any]]] = {
    "axis1": (
        write_axis1,
        f"/axis/services/{SERVICE}Soap11",
        {"soap_action": " ", "zone_field": ""},
    ),
    "axis2": (write_axis2, f"/axis2/services/{SERVICE}", {"zone_first": True}),
    **{
        stack: (
            write_by_code(stack),
            "/portal",
            {
                "namespace": "urn:portal",
                "request_element": "{operation}",
                "soap_action": "urn:{operation}",
                "unused_field": "unused",
                "zone_field": "zoneName",
                "zone_first": True,
                "field_namespace": "",
            },
        )
        for stack in ("cxf", "metro")
    },
}


@asynccontextmanager
async def serve(stack: str, folder: Path) -> AsyncIterator[str]:
    write, path, _ = SERVERS[stack]
    command = await asyncio.to_thread(write, folder)
    async with running(*command, cwd=folder) as (port, _):
        yield f"http://127.0.0.1:{port}{path}"


async def probe(folder: Path, url: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The settings that `admission probe` prints, as the file would have them."""
    file = folder / "probe.toml"
    file.write_text(FILE.format(url=url))
    await asyncio.to_thread(main, ["probe", str(file)])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    at = next(n for n, line in enumerate(lines) if "WSDL asks for these settings" in line)
    return tomllib.loads("\n".join(one for one in lines[at + 1 :] if " = " in one))


async def query(url: str, settings: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    said = {"url": url, "auth": "none", "timeout_ms": 60_000, **settings}
    source = ExperiencePortalSource("epm", ExperiencePortalSettings.model_validate(said))
    try:
        policy = make_policy(("sip", "h323"), source_zone="West")
        [group] = (await source.query("West", policy)).groups
    finally:
        await source.close()
    return group.total, dict(group.unused)


@pytest.mark.parametrize("stack", SERVERS)
async def test_a_probe_names_the_settings_and_with_them_the_portal_is_queried_and_launched_on(
    stack: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harness: ServiceHarness,  # noqa: F811
    client: AdmissionClient,  # noqa: F811
) -> None:
    async with serve(stack, tmp_path) as url:
        asked_for = await probe(tmp_path, url, capsys)
        assert asked_for == SERVERS[stack][2]

        total, unused = await query(url, asked_for)
        has_zones = stack != "axis1"
        assert (total, unused["channel:sip"]) == ((30, 10) if has_zones else (60, 40))

        async with PortalLauncher(
            url, outcomes={"34606": Outcome.NO_RESOURCE}, timeout_ms=60_000, **asked_for
        ) as portal:
            async with client.admission("collections", channel="sip") as grant:
                assert await portal.launch_vxml(grant, "tel:1", "ivr") == "vxml tel:1"
            async with client.admission("collections", channel="sip") as grant:
                with pytest.raises(LaunchFailed, match="no port") as failed:
                    await portal.launch_vxml(grant, "tel:1", "fault")
    # A fault without a documented code may come after the call was placed.
    is_coded = stack in ("axis1", "axis2")
    expected = (Outcome.NO_RESOURCE, "34606") if is_coded else (Outcome.UNKNOWN, "")
    assert (failed.value.outcome, failed.value.return_code) == expected


async def test_axis_2_refuses_fields_in_another_order(tmp_path: Path) -> None:
    async with serve("axis2", tmp_path) as url:
        with pytest.raises(SourceError, match="Unexpected subelement"):
            await query(url, {})

"""The source against the simulated Experience Portal, on both of its paths."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.errors import SourceError
from admission.sim.experience_portal.app import serve_portal
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH, LEGACY_PATH
from admission.sim.experience_portal.values import MppSettings, SystemSettings, ZoneSettings
from admission.sources.experience_portal.source import ExperiencePortalSource
from tests.support.polling import make_policy

QUIET = SystemSettings(
    zones=(
        ZoneSettings(name="East", mpps=(MppSettings(name="e1", ports={"sip": 7, "h323": 2}),)),
        ZoneSettings(name="West", mpps=(MppSettings(name="w1", ports={"sip": 5}),)),
    )
)


@pytest.fixture
async def simulator() -> AsyncIterator[str]:
    async with serve_portal(PortalSettings(system=QUIET)) as url:
        yield url


def source(base: str, flavor: str, **said: Any) -> ExperiencePortalSource:
    path = LEGACY_PATH if flavor == "axis1" else CURRENT_PATH
    usual = {"url": base + path, "flavor": flavor, "username": "dialer", "password": "dialer"}
    return ExperiencePortalSource("epm", ExperiencePortalSettings.model_validate(usual | said))


async def ask(one: ExperiencePortalSource, zone: str) -> tuple[int, dict[str, int]]:
    try:
        [group] = (await one.query("East", make_policy(("sip", "h323"), source_zone=zone))).groups
    finally:
        await one.close()
    return group.total, group.unused


EAST = 9, {"channel:sip": 7, "channel:h323": 2}
WEST = 5, {"channel:sip": 5, "channel:h323": 0}


@pytest.mark.parametrize(
    ("flavor", "zone", "expected"),
    [
        ("axis2", "West", WEST),
        ("axis2", "", EAST),
        ("axis1", "", EAST),
        ("axis1", "West", EAST),  # it has no zones: the default one answers
    ],
)
async def test_counts_are_those_of_the_zone(
    simulator: str, flavor: str, zone: str, expected: tuple[int, dict[str, int]]
) -> None:
    assert await ask(source(simulator, flavor), zone) == expected


async def test_soap_1_2_is_understood(simulator: str) -> None:
    assert await ask(source(simulator, "axis2", soap_version="1.2"), "West") == WEST


async def test_digest_stays_signed_in_over_many_queries(simulator: str) -> None:
    one = source(simulator, "axis1")

    answers = [await one.query("East", make_policy()) for _ in range(5)]

    await one.close()
    assert {answer.groups[0].total for answer in answers} == {9}


@pytest.mark.parametrize("flavor", ["axis1", "axis2"])
async def test_wrong_passwords_are_refused(simulator: str, flavor: str) -> None:
    with pytest.raises(SourceError, match="credentials are refused"):
        await ask(source(simulator, flavor, password="wrong"), "")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("html", "HTML page"),
        ("not_xml", "not XML"),
        ("truncated", "not XML"),
        ("http_500", "status 500"),
        ("fault", "fault 6: injected fault"),
        ("huge", "longer than"),
        ("unauthorized", "refused"),
        ("drop", "connection"),
        ("drop_reply", "connection"),
        ("hang", "no answer within 100 ms"),
    ],
)
async def test_each_fault_is_a_source_error(simulator: str, kind: str, says: str) -> None:
    async with aiohttp.ClientSession() as control:
        answer = await control.put(f"{simulator}/sim/faults", json={"faults": [{"kind": kind}]})
        assert answer.status < 300

    with pytest.raises(SourceError, match=says):
        await ask(source(simulator, "axis2", timeout_ms=100 if kind == "hang" else 20_000), "")

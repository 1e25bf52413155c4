"""Launches on a simulated Experience Portal over HTTP, with grants of the real service."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from admission.client import AdmissionClient, BlockingClient, Outcome
from admission.client.portal import LaunchFailed, PortalLauncher
from admission.sim.experience_portal.contract import CURRENT_PATH
from tests.support.experience_portal import Caller, calling_portal
from tests.support.service import ServiceHarness

LOGIN = {"username": "dialer", "password": "dialer"}


@pytest.fixture
async def platform() -> AsyncIterator[Caller]:
    """One MPP, two SIP ports, one of H.323; calls connect at once and talk until hung up."""
    async with calling_portal() as caller:
        yield caller


@pytest.fixture
async def portal(platform: Caller) -> AsyncIterator[PortalLauncher]:
    async with PortalLauncher(
        platform.url + CURRENT_PATH,
        zones={"East": "East"},
        outcomes={"1": Outcome.NO_RESOURCE},
        **LOGIN,
    ) as launcher:
        yield launcher


async def sessions(platform: Caller) -> int:
    return int((await platform.control("GET", "/sim/truth"))["launches"])


async def test_a_connected_call_has_its_port_and_its_session(
    harness: ServiceHarness, client: AdmissionClient, platform: Caller, portal: PortalLauncher
):
    async with client.admission("collections", channel="sip") as grant:
        session = await portal.launch_vxml(grant, "tel:+15550100", "outcall")
        await grant.settled()
        up = await harness.reservation(grant.id)
        assert (up["session_id"], up["port_taken"]) == (session, True)
        there = await platform.control("GET", f"/sim/sessions/{session}")
        # Without the hint it would have taken the H.323 port, which another call may be granted.
        assert (there["channel"], there["zone"], there["application"]) == ("sip", "East", "outcall")
    assert (await harness.reservation(grant.id))["outcome"] == "completed"


async def test_a_ccxml_page_that_answered_may_have_no_port_yet(
    harness: ServiceHarness, client: AdmissionClient, portal: PortalLauncher
):
    async with client.admission("collections", channel="h323") as grant:
        session = await portal.launch_ccxml(grant, "tel:+15550100", "outcall")
        await grant.settled()
        up = await harness.reservation(grant.id)
        assert (up["session_id"], bool(up.get("port_taken"))) == (session, False)


async def test_a_fault_has_the_configured_outcome(
    harness: ServiceHarness, client: AdmissionClient, platform: Caller, portal: PortalLauncher
):
    await platform.control("POST", "/sim/zones/East/wave", {"calls": 3, "hold_ms": 60_000})
    async with client.admission("collections", channel="sip") as grant:
        with pytest.raises(LaunchFailed) as failed:
            await portal.launch_vxml(grant, "tel:1", "outcall")
    assert (failed.value.outcome, failed.value.return_code) == (Outcome.NO_RESOURCE, "1")
    assert (await harness.reservation(grant.id))["outcome"] == "no_resource"


async def test_a_fault_without_a_configured_outcome_may_have_placed_the_call(
    harness: ServiceHarness, client: AdmissionClient, platform: Caller
):
    async with (
        PortalLauncher(platform.url + CURRENT_PATH, zones={"East": "Nowhere"}, **LOGIN) as portal,
        client.admission("collections") as grant,
    ):
        with pytest.raises(LaunchFailed, match="no such zone"):
            await portal.launch_ccxml(grant, "tel:1", "outcall")
    assert (await harness.reservation(grant.id))["outcome"] == "unknown"


async def test_a_launch_without_an_answer_keeps_its_port(
    harness: ServiceHarness, client: AdmissionClient
):
    """The platform may have taken the port, so it is granted to no other call."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"Envelope>")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{CURRENT_PATH}"
    async with (
        server,
        PortalLauncher(url, **LOGIN) as portal,
        client.admission("collections", channel="sip") as grant,
    ):
        with pytest.raises(LaunchFailed) as failed:
            await portal.launch_vxml(grant, "tel:1", "outcall")
    assert failed.value.outcome is Outcome.UNKNOWN
    assert (await harness.reservation(grant.id))["state"] == "live"
    assert await harness.in_use() == 1


@pytest.mark.parametrize("login", [{}, {"username": "dialer", "password": "wrong"}])
async def test_a_launch_that_was_refused_before_it_was_sent_is_not_launched(
    harness: ServiceHarness, client: AdmissionClient, platform: Caller, login: dict[str, str]
):
    async with (
        PortalLauncher(platform.url + CURRENT_PATH, **login) as portal,
        client.admission("collections") as grant,
    ):
        with pytest.raises(LaunchFailed, match="401"):
            await portal.launch_vxml(grant, "tel:1", "outcall")
    assert (await harness.reservation(grant.id))["outcome"] == "not_launched"
    assert await sessions(platform) == 0


async def test_an_unreachable_platform_returns_the_port_at_once(
    harness: ServiceHarness, client: AdmissionClient
):
    async with (
        PortalLauncher("http://127.0.0.1:1/x") as portal,
        client.admission("collections") as grant,
    ):
        with pytest.raises(LaunchFailed) as failed:
            await portal.launch_ccxml(grant, "tel:1", "outcall")
    assert failed.value.outcome is Outcome.NOT_LAUNCHED
    assert (await harness.reservation(grant.id))["outcome"] == "not_launched"


async def test_nothing_is_launched_too_late_or_on_another_channel(
    harness: ServiceHarness, platform: Caller, portal: PortalLauncher
):
    now = [0.0]
    async with AdmissionClient(harness.url, stopwatch=lambda: now[0]) as client:
        answer = await client.ask("collections", channel="h323", count=2)
        late, other = answer.grants
        async with other:
            with pytest.raises(ValueError, match="takes a SIP port"):
                await portal.launch_vxml(other, "sip:a@b", "outcall")
        now[0] = 20.0
        async with late:
            with pytest.raises(LaunchFailed, match="too late"):
                await portal.launch_vxml(late, "tel:1", "outcall")
    for grant in (late, other):
        assert (await harness.reservation(grant.id))["outcome"] == "not_launched"
    assert await sessions(platform) == 0


async def test_the_page_reports_through_its_own_url_once_the_grant_is_handed_over(
    harness: ServiceHarness, client: AdmissionClient, platform: Caller, portal: PortalLauncher
):
    async with client.admission("collections", channel="sip") as grant:
        session = await portal.launch_ccxml(grant, "tel:1", "outcall", page_reports=True)
        assert grant.over
    taken = await harness.wait_for_reservation(grant.id, state="live", port_taken=True)
    assert taken["session_id"] == session
    await platform.control("DELETE", f"/sim/sessions/{session}")
    over = await harness.wait_for_reservation(grant.id, state="ended")
    assert over["outcome"] in ("completed", "abandoned")


async def test_a_thread_launches_on_the_loop_of_its_client(
    harness: ServiceHarness, platform: Caller
):
    def dial() -> str:
        with (
            BlockingClient(harness.url) as client,
            client.using(PortalLauncher(platform.url + CURRENT_PATH, **LOGIN)) as portal,
            client.admission("collections", channel="sip") as grant,
        ):
            client.run(portal.launch_ccxml(grant.grant, "tel:1", "outcall"))
            return grant.id

    id = await asyncio.to_thread(dial)
    over = await harness.reservation(id)
    assert (over["outcome"], over["session_id"][:5]) == ("completed", "East-")

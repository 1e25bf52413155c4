"""The control interface, and every misbehaviour as a client meets it."""

import asyncio

import aiohttp
import pytest

from tests.support.experience_portal import Caller, Calling, exactly, quick, system, timing


async def misbehave(caller: Caller, kind: str, **more: object) -> None:
    await caller.control("PUT", "/sim/faults", {"faults": [{"kind": kind, **more}]})


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("unauthorized", 401, ""),
        ("html", 200, "<html>"),
        ("not_xml", 200, "OK 200"),
        ("http_500", 500, "Internal"),
        ("fault", 500, "QueryResourcesFault"),
        ("negative", 200, "unusedSIP_returned>-1<"),
        ("above_total", 200, "unusedSIP_returned>4<"),
        ("wrap", 200, "unusedH323_returned>4294967295<"),
    ],
)
async def test_an_answer_can_be_nonsense(
    caller: Caller, kind: str, status: int, words: str
) -> None:
    await misbehave(caller, kind)
    answer, text = await caller.soap("QueryResources")
    assert answer == status
    assert words in text


@pytest.mark.parametrize("kind", ["drop", "drop_reply"])
async def test_a_connection_can_be_dropped(caller: Caller, kind: str) -> None:
    await misbehave(caller, kind)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.soap("LaunchVXML", toURI="tel:1", applicationName="ivr")
    launches = (await caller.control("GET", "/sim/truth"))["launches"]
    assert launches == (1 if kind == "drop_reply" else 0)


async def test_an_answer_can_be_cut_in_half(caller: Caller) -> None:
    await misbehave(caller, "truncated")
    _, text = await caller.soap("QueryResources")
    assert text.startswith("<?xml")
    assert "</soapenv:Envelope>" not in text


async def test_an_answer_can_be_huge(caller: Caller) -> None:
    await misbehave(caller, "huge")
    _, text = await caller.soap("QueryResources")
    assert len(text) == 8 * 2**20


async def test_an_answer_can_be_slow(caller: Caller) -> None:
    await misbehave(caller, "slow", delay_ms=100)
    loop = asyncio.get_running_loop()
    started = loop.time()
    status, _ = await caller.soap("QueryResources")
    assert status == 200
    assert loop.time() - started >= 0.1


async def test_a_hanging_request_does_not_keep_the_simulator_from_closing(
    calling: Calling,
) -> None:
    async with calling() as caller:
        await misbehave(caller, "hang", times=1)
        hanging = asyncio.create_task(caller.soap("QueryResources"))
        while (await caller.control("GET", "/sim/faults"))["faults"][0]["times"]:
            pass
        assert not hanging.done()
    with pytest.raises((aiohttp.ClientError, asyncio.CancelledError)):
        await hanging


async def test_a_fault_can_apply_to_one_operation_a_number_of_times(caller: Caller) -> None:
    await misbehave(caller, "html", operations=["QueryResources"], times=1)
    other = await caller.soap("GetStatus")
    first = await caller.soap("QueryResources")
    second = await caller.soap("QueryResources")
    assert ["<html>" in text for _, text in (other, first, second)] == [False, True, False]


async def test_faults_can_be_removed(caller: Caller) -> None:
    await misbehave(caller, "html")
    await caller.control("DELETE", "/sim/faults")
    _, text = await caller.soap("QueryResources")
    assert "totalRes_returned" in text


async def test_a_fault_of_probability_zero_does_not_happen(caller: Caller) -> None:
    await misbehave(caller, "html", probability=0)
    _, text = await caller.soap("QueryResources")
    assert "totalRes_returned" in text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/sim/faults", {"faults": [{"kind": "sulk"}]}, 422),
        ("PUT", "/sim/faults", [], 422),
        ("PUT", "/sim/zones/Nowhere/mpps/mpp1", {"running": False}, 404),
        ("PUT", "/sim/zones/East/mpps/none", {"running": False}, 404),
        ("PUT", "/sim/zones/Nowhere/foreign/inbound", {"rate_per_s": 1}, 404),
        ("POST", "/sim/zones/Nowhere/wave", {"calls": 1, "hold_ms": 1}, 404),
        ("PUT", "/sim/zones/East/foreign/" + "x" * 65, {"rate_per_s": 1}, 422),
        ("GET", "/sim/sessions/none", None, 404),
        ("GET", "/sim/events?since=x", None, 422),
    ],
)
async def test_a_wrong_request_is_refused(
    caller: Caller, method: str, path: str, body: object, status: int
) -> None:
    async with caller.session.request(method, caller.url + path, json=body) as answer:
        assert answer.status == status
        assert "error" in await answer.json()


async def test_an_mpp_is_lost_and_returns(caller: Caller) -> None:
    await caller.soap("LaunchVXML", toURI="tel:1", applicationName="ivr")
    lost = await caller.control("PUT", "/sim/zones/East/mpps/mpp1", {"running": False})
    without = await caller.control("GET", "/sim/zones")
    await caller.control("PUT", "/sim/zones/East/mpps/mpp1", {"running": True})
    again = await caller.control("GET", "/sim/zones")
    assert lost["calls_died"] == 1
    assert [zones["East"]["total"] for zones in (without, again)] == [0, 3]


async def test_a_wave_takes_ports(caller: Caller) -> None:
    wave = await caller.control("POST", "/sim/zones/East/wave", {"calls": 5, "hold_ms": 60_000})
    zones = await caller.control("GET", "/sim/zones")
    assert wave["ports_taken"] == 3
    assert zones["East"]["in_use"] == {"outbound": 0, "foreign": 3}


async def test_an_inbound_rate_can_be_set(caller: Caller) -> None:
    change = {"rate_per_s": 1000, "hold_ms_mean": 100_000}
    await caller.control("PUT", "/sim/zones/East/foreign/inbound", change)
    truth = await caller.control("GET", "/sim/truth")
    while truth["zones"]["East"]["in_use"]["foreign"] == 0:
        truth = await caller.control("GET", "/sim/truth")
    assert truth["foreign"]["inbound"]["arrived"] > 0


async def test_the_truth_counts_launches_that_found_no_port(calling: Calling) -> None:
    calls = timing(prepare=exactly(0), talk=exactly(600_000))
    async with calling(quick(system=system(calls=calls))) as caller:
        for _ in range(3):
            await caller.soap("LaunchCCXML", applicationName="ivr", parameters="campaign=c1")
        truth = await caller.control("GET", "/sim/truth")
    assert (truth["launches"], truth["over_launches"]) == (3, 1)
    assert truth["by_campaign"]["c1"]["over_launches"] == 1
    assert truth["last_over_launches"][0]["campaign"] == "c1"
    assert truth["zones"]["East"]["in_use"]["outbound"] == 2


async def test_the_feed_has_each_step_once(caller: Caller) -> None:
    await caller.soap("LaunchVXML", toURI="tel:1", applicationName="ivr")
    first = await caller.control("GET", "/sim/events")
    rest = await caller.control("GET", f"/sim/events?since={first['since']}")
    assert [event["state"] for event in first["events"]] == ["port_taken", "answered"]
    assert rest == {"events": [], "since": first["since"]}

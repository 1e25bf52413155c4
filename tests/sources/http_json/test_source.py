"""A source of type `http_json` against a platform on loopback: what it sends, what it reads."""

import time
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from admission.domain.snapshots import SnapshotGroup
from admission.errors import SourceError
from admission.sources.http_json import HttpJsonSource
from tests.support.http_peer import ask, say, serve_peer, settings, zone_policy

RPC = {"jsonrpc": "2.0", "method": "dlg.stats_active", "id": 1}
ACTIVE = {
    "jsonrpc": "2.0",
    "result": {"starting": 1, "connecting": 1, "answering": 0, "ongoing": 6, "all": 8},
    "id": 1,
}
CARRIERS = {
    "result": {
        "Destinations": [
            {
                "enabled": "yes",
                "Resources": [
                    {"name": "pstn", "max": 30, "load": 7},
                    {"name": "fax", "max": 9, "load": 9},
                ],
            },
            {"enabled": "no", "Resources": [{"name": "pstn", "max": 30, "load": 0}]},
            {"enabled": "yes", "Resources": [{"name": "pstn", "max": 20, "load": 3}]},
        ]
    }
}
PSTN = "sum(result.Destinations[?enabled=='yes'].Resources[] | [?name=='pstn'].{})"


def group(total: int, pool: str, unused: int) -> SnapshotGroup:
    return SnapshotGroup(total=total, unused={pool: unused})


async def failing(url: str, policy: Any = None, **said: Any) -> str:
    with pytest.raises(SourceError) as caught:
        await ask(url, policy, **said)
    assert caught.value.detail.isprintable()
    return caught.value.detail


# -- what is read


async def test_a_literal_total_and_a_used_count_are_a_channel() -> None:
    sip = {"total": "`60`", "used": "result.all"}
    async with serve_peer(say(ACTIVE)) as peer:
        snapshot = await ask(peer.url, channels={"sip": sip})
    assert snapshot.groups == (group(60, "channel:sip", 52),)
    assert snapshot.age_ms is None


async def test_sums_over_lists_are_a_pool() -> None:
    policy = zone_policy(pools={"trunk:carrier-a": {"limit": 100}})
    pools = {"trunk:carrier-a": {"total": PSTN.format("max"), "used": PSTN.format("load")}}
    async with serve_peer(say(CARRIERS)) as peer:
        snapshot = await ask(peer.url, policy, pools=pools, channels={})
    assert snapshot.groups == (group(50, "trunk:carrier-a", 40),)


async def test_a_pool_that_a_zone_does_not_have_is_left_out_for_it() -> None:
    pools = {"trunk:x": {"total": "absent", "used": "absent"}}
    async with serve_peer(say({"total": 4, "used": 1})) as peer:
        snapshot = await ask(peer.url, pools=pools)
        of_kind = zone_policy(pools={"trunk:*": {"limit": 9}})
        assert "gave null" in await failing(peer.url, of_kind, pools=pools)
    assert snapshot.groups == (group(4, "channel:sip", 3),)


async def test_unused_may_be_given_instead_of_used() -> None:
    sip = {"total": "total", "unused": "free"}
    async with serve_peer(say({"total": 4.0, "free": 3})) as peer:
        assert (await ask(peer.url, channels={"sip": sip})).groups == (group(4, "channel:sip", 3),)


async def test_a_call_of_two_units_is_counted_once_and_never_half() -> None:
    async with serve_peer(say({"total": 21, "used": 5})) as peer:
        snapshot = await ask(peer.url, units_per_call=2)
    # 10 calls fit; 5 channels are 3 calls, one of which is being set up
    assert snapshot.groups == (group(10, "channel:sip", 7),)


@pytest.mark.parametrize(
    ("body", "expression", "says"),
    [
        ({"used": None}, "used", "used gave null"),
        ({}, "nothing.here", "nothing.here gave null"),
        ({"used": "7"}, "used", 'gave "7"'),
        ({"used": 7.5}, "used", "gave 7.5"),
        ('{"used": NaN, "total": 9}', "used", "gave NaN"),
        ('{"used": Infinity, "total": 9}', "used", "gave Infinity"),
        ({"used": True}, "used", "gave true"),
        ({"used": -1}, "used", "gave -1"),
        ({"used": 2**32 - 1}, "used", "gave 4294967295"),
        ({"used": [7]}, "used", "gave [7]"),
        ({"used": 10}, "used", "gave 10, more than the total 9"),
        ({"used": ["7"]}, "sum(used)", "sum(used) failed"),
        ({"used": "x"}, "to_number(used)", "gave null"),
    ],
)
async def test_whatever_is_no_count_is_an_error_that_names_it(
    body: Any, expression: str, says: str
) -> None:
    full = body if isinstance(body, str) else {"total": 9} | body
    sip = {"total": "total", "used": expression}
    async with serve_peer(say(full)) as peer:
        error = await failing(peer.url, channels={"sip": sip})
    assert "channels.sip.used = " in error
    assert says in error


async def test_text_is_converted_where_the_expression_says_so() -> None:
    sip = {"total": "to_number(total)", "used": "to_number(used)"}
    async with serve_peer(say({"total": "9", "used": "2"})) as peer:
        assert (await ask(peer.url, channels={"sip": sip})).groups == (group(9, "channel:sip", 7),)


async def test_the_error_of_a_json_rpc_server_explains_absent_numbers() -> None:
    answer = {"jsonrpc": "2.0", "error": {"code": 404, "message": "Method Not Found"}, "id": 1}
    async with serve_peer(say(answer)) as peer:
        error = await failing(peer.url)
    assert "the platform says: Method Not Found" in error


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (say("<html>no</html>", content_type="text/html"), "HTML or XML (text/html)"),
        (say(""), "the answer is not JSON"),
        (say("[" * 100_000), "nested too deeply"),
        (say({"fault": "s3cret-key"}, status=503), 'HTTP status 503: {"fault": "***"}'),
        (say(b"\xff\xfe\xff", content_type="text/plain"), "is not text in"),
        (say(" " * (4 * 2**20 + 1)), "longer than 4096 KiB"),
        (say({}, status=404), "check the url"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_named(answer: Any, says: str) -> None:
    async with serve_peer(answer) as peer:
        assert says in await failing(peer.url, headers={"X-Api-Key": "s3cret-key"})


async def test_json_with_a_byte_order_mark_or_in_another_charset_is_read() -> None:
    text = '{"total": 9, "used": 2, "näme": 1}'
    latin = {"Content-Type": "application/json; charset=iso-8859-1"}
    bodies = [
        say(b"\xef\xbb\xbf" + text.encode()),
        say(text.encode("utf-16")),
        say(text.encode("latin-1"), headers=latin),
    ]
    for answer in bodies:
        async with serve_peer(answer) as peer:
            assert (await ask(peer.url)).groups == (group(9, "channel:sip", 7),)


async def test_a_large_answer_is_read_too() -> None:
    calls = [{"id": n, "state": "Up"} for n in range(20_000)]
    sip = {"total": "`50000`", "used": "length([?state=='Up'])"}
    async with serve_peer(say(calls)) as peer:
        snapshot = await ask(peer.url, channels={"sip": sip})
    assert snapshot.groups == (group(50_000, "channel:sip", 30_000),)


# -- what is sent


async def test_the_zone_is_percent_encoded_in_the_url_and_escaped_in_the_body() -> None:
    policy = zone_policy(source_zone='Ost & "West"/ä')
    async with serve_peer(say({"total": 1, "used": 0})) as peer:
        url = peer.url + "/RPC?zone={zone}&a=%2F"
        await ask(url, policy, method="POST", body='{"params": ["{zone}"]}')
    [seen] = peer.seen
    assert seen.target == "/RPC?zone=Ost%20%26%20%22West%22%2F%C3%A4&a=%2F"
    assert seen.body == '{"params": ["Ost & \\"West\\"/\\u00e4"]}'
    assert seen.headers["Content-Type"] == "application/json"


async def test_a_zone_without_a_name_is_refused_where_the_request_needs_one() -> None:
    assert "needs a source_zone" in await failing("http://127.0.0.1:9/{zone}")


async def test_headers_and_bearer_tokens_are_sent() -> None:
    async with serve_peer(say({"total": 1, "used": 0})) as peer:
        await ask(
            peer.url, headers={"X-Api-Key": "k", "Accept": "a/b"}, auth="bearer", token="t0ken"
        )
    headers = peer.seen[0].headers
    assert (headers["X-Api-Key"], headers["Accept"]) == ("k", "a/b")
    assert headers["Authorization"] == "Bearer t0ken"


# -- the age of a count


async def test_the_age_of_a_count_is_that_by_the_platforms_own_clock() -> None:
    # Its clock is a day behind ours.
    async def answer(_request: web.Request) -> web.Response:
        now = time.time() - 86_400
        body = {"total": 9, "used": 2, "at": 1000 * (now - 3.0)}
        return web.json_response(body, headers={"Date": formatdate(now, usegmt=True)})

    async with serve_peer(answer) as peer:
        said = {"taken_at": "at", "taken_at_unit": "ms", "timeout_ms": 20_000}
        source = HttpJsonSource("sbc", settings(peer.url, **said))
        ages = [(await source.query("East", zone_policy())).age_ms for _ in range(3)]
        await source.close()
    assert all(age is not None and age >= 2_900 for age in ages)


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        ("null", "gave null, not a Unix time"),
        ('"now"', 'gave "now", not a Unix time'),
        ("-5", "not a Unix time"),
        ("1", "s old (taken_at), more than max_age_ms"),
        ("99999999999", "ahead of the clock: check taken_at_unit"),
    ],
)
async def test_a_time_that_cannot_be_is_an_error(taken: str, says: str) -> None:
    body = f'{{"total": 9, "used": 2, "at": {taken}}}'
    async with serve_peer(say(body)) as peer:
        assert says in await failing(peer.url, taken_at="at")


# -- the Prometheus text format

METRICS = """\
# HELP trunk_calls Calls of a trunk.
# TYPE trunk_calls gauge
trunk_calls{trunk="a",direction="in"} 3
trunk_calls{trunk="a",direction="out"} 4
trunk_calls{trunk="b",direction="out"} 9 1700000000000
trunk_calls_max{trunk="a"} 6e1
trunk_calls_maximum 1
broken{ 7
"""


async def test_metrics_are_selected_by_their_labels_or_summed() -> None:
    sip = {"total": 'trunk_calls_max{trunk="a"}', "used": 'sum(trunk_calls{trunk="a"})'}
    h323 = {"total": "`20`", "used": 'trunk_calls{trunk="b"}'}
    policy = zone_policy(channels=["sip", "h323"])
    async with serve_peer(say(METRICS, content_type="text/plain")) as peer:
        channels = {"sip": sip, "h323": h323}
        snapshot = await ask(peer.url, policy, format="prometheus", channels=channels)
    assert snapshot.groups == (group(60, "channel:sip", 53), group(20, "channel:h323", 11))
    assert peer.seen[0].headers["Accept"].startswith("text/plain")


@pytest.mark.parametrize(
    ("used", "says"),
    [
        ('trunk_calls{trunk="z"}', "selected no sample"),
        ("trunk_calls", "selected 3 samples: add labels, or write sum(...)"),
        ("broken", "not in the Prometheus text format"),
    ],
)
async def test_a_selection_that_is_no_single_sample_is_an_error(used: str, says: str) -> None:
    sip = {"total": "`9`", "used": used}
    async with serve_peer(say(METRICS, content_type="text/plain")) as peer:
        assert says in await failing(peer.url, format="prometheus", channels={"sip": sip})

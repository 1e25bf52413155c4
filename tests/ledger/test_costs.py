"""What a call costs does not grow with what its operations do not name: counted in commands."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.support.rule_zone import policy
from tests.support.virtual_dialers import compile_ports
from tests.support.virtual_zone import VirtualZone

PORTS = 10
SHRINK = "shrink(guarantee, total, limit)"  # of lua/rules/shares.lua
ROOM_OF_MPP = "get_room(pool)"  # of lua/rules/placement.lua
SLICE = 500  # names of pools that lua/commands/query.lua reads in a call


def commands(client: redis.Redis) -> int:
    """Commands since the server started, those of scripts too."""
    stats = client.info("commandstats")
    return sum(one["calls"] for name, one in stats.items() if name in COUNTED)


COUNTED = ("cmdstat_hget", "cmdstat_hmget", "cmdstat_zrange")


def asks(calls: int, campaign: str = "c1") -> list[dict[str, Any]]:
    return [
        {"op": "admit", "id": f"{campaign}-{n:08d}", "request_id": f"r{n}", "campaign": campaign}
        | {"count": 1, "min_count": 1, "owner": "o", "body": "b"}
        for n in range(calls)
    ]


def zone(client: redis.Redis, ports: int, campaigns: int, guarantee: int) -> VirtualZone:
    """A zone past its recovery whose campaigns c1, c2 ... have that guarantee."""
    names = {f"c{n}": {"guarantee": guarantee} for n in range(1, campaigns + 1)}
    made = VirtualZone(client, compile_ports(ports, names), name=f"of{campaigns}")
    made.advance(60_000)
    return made


def cost(client: redis.Redis, made: VirtualZone) -> int:
    """Commands of a call of 40 asks, the second of its kind."""
    made.call(*asks(2))
    made.advance(1)
    before = commands(client)
    made.call(*asks(40, "c2"))
    return commands(client) - before


def count_runs(made: VirtualZone, function: str, ops: list[dict[str, Any]]) -> int:
    """How often a call of these operations runs a local function of the script."""
    real, begin = made._script, f"local function {function}\n"
    assert real.source.count(begin) == 1
    counting = replace(real, source=real.source.replace(begin, f"{begin}count('test:runs')\n"))

    def read() -> int:
        return int(made.one("status")["stats"].get("test:runs", 0))

    before = read()
    made._script = counting
    made.call(*ops)
    made._script = real
    return read() - before


@pytest.mark.parametrize("campaigns", [500, 4999])
def test_guarantees_above_the_ceiling_are_summed_once(
    redis_sync: redis.Redis, campaigns: int
) -> None:
    few, many = (zone(redis_sync, PORTS, each, guarantee=1) for each in (20, campaigns))
    assert cost(redis_sync, few) == cost(redis_sync, many)


@pytest.mark.parametrize("campaigns", [500, 4999])
def test_a_request_computes_no_guarantee_of_other_campaigns(
    redis_sync: redis.Redis, campaigns: int
) -> None:
    many = zone(redis_sync, PORTS, campaigns, guarantee=1)
    first = count_runs(many, SHRINK, asks(1))
    assert campaigns <= first <= campaigns + 10  # each once, for the sums
    many.advance(1)
    assert count_runs(many, SHRINK, asks(100, "c2")) <= 10 * 100


@pytest.mark.parametrize("limit", [9, 10])
def test_sums_of_shrunk_guarantees_follow_shares(redis_sync: redis.Redis, limit: int) -> None:
    east = zone(redis_sync, limit, 4, guarantee=4)
    mine = 2 + limit - 4 * 2  # 4 * limit // 16, and what rounding leaves over
    assert [one["decision"] for one in east.call(*asks(mine + 1))] == ["grant"] * mine + ["deny"]
    east.one("end", id=f"c1-{0:08d}", outcome="completed")
    again = east.call(*asks(mine + 3)[mine + 1 :])
    assert [one["decision"] for one in again] == ["grant", "deny"]
    others = [decide["decision"] for n in (2, 3, 4) for decide in east.call(*asks(3, f"c{n}"))]
    assert others == ["grant", "grant", "deny"] * 3


def test_placement_reads_the_pools_of_all_mpps_once_in_a_call(redis_sync: redis.Redis) -> None:
    def place(mpps: int, calls: int) -> int:
        ports = {f"m{n}": {"sip": 3} for n in range(mpps)}
        fields = compile_ports(1000, {"*": {}}, mpps=ports, placement="controller")
        made = VirtualZone(redis_sync, fields, name=f"mpps{mpps}x{calls}")
        made.advance(60_000)
        before = commands(redis_sync)
        answers = made.call(*asks(calls))
        assert len({one["reservations"][0]["mpp"] for one in answers}) == min(mpps, calls)
        return commands(redis_sync) - before

    assert place(500, 1) < 40  # else one or two for each MPP


@pytest.mark.parametrize("mpps", [50, 500])
def test_a_further_request_compares_few_mpps(redis_sync: redis.Redis, mpps: int) -> None:
    ports = {f"m{n}": {"sip": 3} for n in range(mpps)}
    fields = compile_ports(10_000, {"*": {}}, mpps=ports, placement="controller")
    made = VirtualZone(redis_sync, fields)
    made.advance(60_000)
    calls = 3 * mpps  # every port
    assert count_runs(made, ROOM_OF_MPP, asks(calls)) <= mpps + 5 * calls
    assert made.in_use("channel:sip") == calls


def every_command(client: redis.Redis) -> int:
    return sum(one["calls"] for one in client.info("commandstats").values())


def test_a_status_of_many_pools_is_read_in_slices(redis_sync: redis.Redis) -> None:
    trunks = {f"trunk:t{n}": {"limit": 5} for n in range(20_000)}
    campaigns = {f"campaign:c{n}": {"limit": 5} for n in range(5000)}
    static = {"fed": [], "capacity": {"sip": 10_000, "h323": 1}}
    made = VirtualZone(redis_sync, policy(static, **trunks, **campaigns))
    made.advance(60_000)
    for first in range(0, 5000, 500):
        held = [ask | {"channel": "sip", "pools": [f"trunk:t{n}"], "campaign": f"c{n}"}
                for n, ask in enumerate(asks(first + 500)) if n >= first]  # fmt: skip
        assert {one["decision"] for one in made.call(*held)} == {"grant"}
    shown: list[str] = []
    op: dict[str, Any] | None = {"op": "status"}
    while op:
        before = every_command(redis_sync)
        part = made.one(op)
        assert every_command(redis_sync) - before < 40, "of one call"
        assert len(part["pools"]) < 2 * SLICE
        shown += [one["pool"] for one in part["pools"]]
        op = op | {"cursor": part["cursor"]} if "cursor" in part else None
    assert Counter(shown) == Counter([*trunks, *campaigns, "channel:sip", "channel:h323"])


def test_each_launch_goes_to_the_mpp_with_most_room_also_after_ends(redis_sync) -> None:
    ports = {"m1": {"sip": 2}, "m2": {"sip": 3}, "m3": {"sip": 3}}
    fields = compile_ports(100, {"*": {}}, mpps=ports, placement="controller")
    made = VirtualZone(redis_sync, fields)
    made.advance(60_000)

    def placed(answers: list[dict[str, Any]]) -> str:
        return " ".join(one["reservations"][0]["mpp"] for one in answers if "decision" in one)

    assert placed(made.call(*asks(5))) == "m2 m3 m1 m2 m3"
    end = {"op": "end", "id": f"c1-{1:08d}", "outcome": "completed"}
    limit = {"op": "limit", "pool": "mpp:m1:sip", "limit": 0, "ttl_ms": 1000}
    assert placed(made.call(end, *asks(6)[5:], limit, *asks(8)[6:])) == "m3 m2 m3"

"""`wait_ms` over HTTP, on two replicas of one zone with two ports."""

import asyncio
import json
from typing import Any

import pytest
import redis.asyncio

from admission.errors import Unavailable
from admission.ledger.keys import zone_keys
from tests.support.proxy import address_of
from tests.support.redis_server import PATIENT
from tests.support.service import ServiceHarness, commands_run, replicas, wait_for_waiters

LONG_MS = 20_000


def started(work: Any) -> asyncio.Task[dict[str, Any]]:
    return asyncio.create_task(work)


async def soon(task: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        return await task


async def until_free(replica: ServiceHarness) -> None:
    async with asyncio.timeout(60):
        while await replica.in_use():
            pass


async def test_an_end_on_one_replica_admits_a_waiter_on_the_other(redis_url: str) -> None:
    async with replicas(redis_url, launch_within_ms=1000) as (a, b):
        x, _ = await a.admit("x"), await a.admit("y")
        waiter = started(b.admit("w", LONG_MS))
        await wait_for_waiters(redis_url, 1)
        await a.end(x)
        answer = await soon(waiter)
        assert answer["decision"] == "grant"
        assert answer["launch_within_ms"] >= 1000
        await wait_for_waiters(redis_url, 0)


async def test_waiters_are_served_in_order_on_both_replicas_and_not_overtaken(
    redis_url: str,
) -> None:
    async with replicas(redis_url) as (a, b):
        taken = [await a.admit("x"), await a.admit("y")]
        waiters = []
        for n in range(8):
            waiters.append(started((a, b)[n % 2].admit(f"w{n}", LONG_MS)))
            await wait_for_waiters(redis_url, n + 1)
        for n, waiter in enumerate(waiters):
            await a.end(taken.pop(0))
            plain = await a.admit(f"p{n}")
            assert plain["decision"] == "deny"
            taken.append(await soon(waiter))
            assert sum(one.done() for one in waiters) == n + 1


async def test_all_ports_freed_together_are_granted_on_both_replicas(redis_url: str) -> None:
    async with replicas(redis_url, capacity={"sip": 20}) as (a, b):
        taken = await a.admit("x", count=20, min_count=20)
        waiters = [started((a, b)[n % 2].admit(f"w{n}", LONG_MS)) for n in range(20)]
        await wait_for_waiters(redis_url, 20)
        await a.end(taken)
        answers = await asyncio.gather(*map(soon, waiters))
        assert {one["decision"] for one in answers} == {"grant"}


async def test_fifty_at_once_are_granted_among_dialers_that_ask_for_one(redis_url: str) -> None:
    async with replicas(redis_url, capacity={"sip": 60}) as (a, b):
        taken = [await a.admit(f"x{n}", campaign="small") for n in range(60)]
        big = started(b.admit("big", LONG_MS, campaign="big", count=50, min_count=50))
        await wait_for_waiters(redis_url, 1)
        for n, one in enumerate(taken[:50]):  # each end is followed by asks for what it freed
            await a.end(one)
            greedy = [
                replica.admit(f"g{n}-{i}", campaign="small") for i, replica in enumerate((a, b))
            ]
            assert {one["decision"] for one in await asyncio.gather(*greedy)} == {"deny"}
        assert (await soon(big))["granted"] == 50


async def test_a_waiter_gets_its_denial_when_its_time_is_up(redis_url: str) -> None:
    async with replicas(redis_url, n=1) as (a,):
        await a.admit("x", count=2)
        answer = await soon(started(a.admit("w", 50)))
        assert (answer["decision"], answer["reason"]) == ("deny", "no_capacity")
        assert "waiting" not in answer
        await wait_for_waiters(redis_url, 0)


async def test_a_wrong_request_does_not_wait(redis_url: str) -> None:
    async with replicas(redis_url, n=1) as (a,):
        answer = await soon(started(a.admit("w", LONG_MS, pools=["trunk:none"])))
        assert answer["status"] == 404


async def test_a_resume_admits_waiters(redis_url: str) -> None:
    async with replicas(redis_url) as (a, b):
        await a.service.components.ledger.set_paused("East", None, True)
        waiter = started(b.admit("w", LONG_MS))
        await wait_for_waiters(redis_url, 1)
        await a.service.components.ledger.set_paused("East", None, False)
        assert (await soon(waiter))["decision"] == "grant"


async def test_a_waiter_waits_exactly_for_the_rate(redis_url: str) -> None:
    campaigns = {"c": {"rate_per_s": 20, "burst": 1}, "*": {}}
    async with replicas(redis_url, n=1, campaigns=campaigns, capacity={"sip": 9}) as (a,):
        answers = [await soon(started(a.admit(f"w{n}", LONG_MS))) for n in range(5)]
        assert {one["decision"] for one in answers} == {"grant"}
        assert answers[-1]["now"] - answers[0]["now"] >= 200


async def test_a_repeat_joins_its_first_and_another_elsewhere_gets_the_same(redis_url: str) -> None:
    async with replicas(redis_url) as (a, b):
        x, _ = await a.admit("x"), await a.admit("y")
        first, joined = started(a.admit("w", LONG_MS)), started(a.admit("w", LONG_MS))
        elsewhere = started(b.admit("w", LONG_MS))
        await wait_for_waiters(redis_url, 1)
        await a.end(x)
        answers = [await soon(one) for one in (first, joined, elsewhere)]
        ids = {one["reservations"][0]["id"] for one in answers}
        assert len(ids) == 1
        assert await a.in_use() == 2


async def test_another_body_under_the_id_of_a_waiter_is_a_conflict_each_time(
    redis_url: str,
) -> None:
    async with replicas(redis_url) as (a, b):
        both = await a.admit("x", count=2)
        await_room = [started(a.admit("w", LONG_MS, count=n)) for n in (1, 2)]
        done, (waiter,) = await asyncio.wait(await_room, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result()["status"] for one in done] == [409]
        await wait_for_waiters(redis_url, 1)
        for replica, wait_ms in ((a, LONG_MS), (a, 0), (b, LONG_MS), (b, 0)):
            answer = await soon(started(replica.admit("w", wait_ms, count=3)))
            assert answer["status"] == 409
        await wait_for_waiters(redis_url, 1)
        await a.end(both)
        assert (await soon(waiter))["decision"] == "grant"


async def test_a_batch_waits_for_all_of_its_requests(redis_url: str) -> None:
    async with replicas(redis_url, n=1) as (a,):
        x = await a.admit("x")
        asks = [{"campaign": "c", "request_id": f"b{n}", "wait_ms": LONG_MS} for n in range(2)]
        path = "/v1/admissions/batch"
        batch = asyncio.create_task(a.http.post(path, json={"requests": asks}))
        await wait_for_waiters(redis_url, 1)
        await a.end(x)
        async with asyncio.timeout(60), await batch as answer:
            results = (await answer.json())["results"]
        assert [one["decision"] for one in results] == ["grant", "grant"]


# -- hung up


async def hang_up_after(replica: ServiceHarness, body: dict[str, Any], path: str = "") -> Any:
    """A client that sends this, and a function that hangs it up."""
    _, writer = await asyncio.open_connection(*address_of(replica.url))
    text = json.dumps(body).encode()
    first = f"POST /v1/admissions{path} HTTP/1.1\r\nHost: localhost\r\n"
    head = f"{first}Content-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(text), text))

    async def hang_up() -> None:
        writer.close()
        await writer.wait_closed()

    return hang_up


async def test_a_client_that_hung_up_holds_no_place(redis_url: str) -> None:
    async with replicas(redis_url) as (a, b):
        x, _ = await a.admit("x"), await a.admit("y")
        hang_up = await hang_up_after(
            a, {"campaign": "c", "request_id": "gone", "wait_ms": LONG_MS}
        )
        await wait_for_waiters(redis_url, 1)
        waiter = started(b.admit("w", LONG_MS))
        await wait_for_waiters(redis_url, 2)
        await hang_up()
        await wait_for_waiters(redis_url, 1)
        await a.end(x)
        assert (await soon(waiter))["decision"] == "grant"


@pytest.mark.parametrize("wait_ms", [0, LONG_MS])
async def test_a_grant_made_while_the_client_hung_up_is_withdrawn(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, wait_ms: int
) -> None:
    """The script grants; before its reply arrives the client is gone."""
    async with replicas(redis_url, n=1) as (a,):
        calls = a.service.components.ledger._calls
        evaluate, granted, gate = calls.evaluate, asyncio.Event(), asyncio.Event()

        async def slow(*arguments: Any) -> Any:
            raw = await evaluate(*arguments)
            if b'"shared":[{' in raw:  # plain grants
                granted.set()
                await gate.wait()
            return raw

        monkeypatch.setattr(calls, "evaluate", slow)
        hang_up = await hang_up_after(a, {"campaign": "c", "wait_ms": wait_ms})
        async with asyncio.timeout(60):
            await granted.wait()
        cancelled = asyncio.Event()
        monkeypatch.setattr(
            a.service.components.waiting,
            "withdraw",
            _noting(a.service.components.waiting.withdraw, cancelled),
        )
        await hang_up()
        async with asyncio.timeout(60):
            await cancelled.wait()
        gate.set()
        await until_free(a)
        assert (await a.status())["stats"]["withdrawn"] == 1


def _noting(function: Any, event: asyncio.Event) -> Any:
    def noted(*arguments: Any) -> Any:
        event.set()
        return function(*arguments)

    return noted


async def test_grants_of_a_batch_are_withdrawn_when_its_client_hangs_up(
    redis_url: str,
) -> None:
    async with replicas(redis_url, n=1) as (a,):
        x = await a.admit("x")
        asks = [{"campaign": "c"}, {"campaign": "c", "wait_ms": LONG_MS}]
        hang_up = await hang_up_after(a, {"requests": asks}, "/batch")
        await wait_for_waiters(redis_url, 1)
        assert await a.in_use() == 2
        await hang_up()
        await wait_for_waiters(redis_url, 0)
        await a.end(x)
        await until_free(a)


# -- bounds and leaving


async def test_more_waiters_than_the_limit_are_answered_at_once(redis_url: str) -> None:
    async with replicas(redis_url, n=1, waiters=2) as (a,):
        await a.admit("x", count=2)
        waiters = [started(a.admit(f"w{n}", LONG_MS)) for n in range(2)]
        await wait_for_waiters(redis_url, 2)
        assert (await soon(started(a.admit("more", LONG_MS))))["decision"] == "deny"
        for one in waiters:
            one.cancel()


async def test_the_ledger_counts_the_places_of_each_caller(
    redis_url: str, redis_sync: redis.Redis
) -> None:
    key = zone_keys("adm", "East")[8] + "callers"
    async with replicas(redis_url) as (a, b):
        await a.admit("x", count=2)
        waiters = [started(one.admit(f"w{n}", LONG_MS)) for n, one in enumerate((a, b))]
        await wait_for_waiters(redis_url, 2)
        places = redis_sync.hgetall(key)
        assert places == {b"address 127.0.0.1": b"2", b"address 127.0.0.1 c/sip///": b"2"}
        for one in waiters:
            one.cancel()
        await wait_for_waiters(redis_url, 0)
    assert redis_sync.hgetall(key) == {}


async def test_a_stopping_service_answers_waiters_with_their_denial(redis_url: str) -> None:
    async with replicas(redis_url) as (a, b):
        await a.admit("x", count=2)
        waiter = started(b.admit("w", LONG_MS))
        await wait_for_waiters(redis_url, 1)
        b.server.stop.set()
        assert (await soon(waiter))["decision"] == "deny"
        await wait_for_waiters(redis_url, 0)


async def test_waiters_of_a_dead_replica_block_no_request_for_long(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B is there and deaf: it neither beats nor asks."""
    async with replicas(redis_url, n=2) as (a, b):
        x, _ = await a.admit("x"), await a.admit("y")
        dead = started(b.admit("w", LONG_MS))
        await wait_for_waiters(redis_url, 1)

        async def nothing(*_: Any) -> Any:
            raise Unavailable("dead")

        monkeypatch.setattr(b.service.components.ledger._calls, "evaluate", nothing)
        waiter = started(a.admit("v", LONG_MS))
        await wait_for_waiters(redis_url, 2)
        await a.end(x)
        assert (await soon(waiter))["decision"] == "grant"
        dead.cancel()
        monkeypatch.undo()


async def test_five_hundred_waiters_cause_few_commands(redis_url: str) -> None:
    async with replicas(redis_url) as (a, b):
        await a.admit("x", count=2)
        waiters = [
            started((a, b)[n % 2].admit(f"w{n}", LONG_MS, campaign=f"c{n % 50}"))
            for n in range(500)
        ]
        await wait_for_waiters(redis_url, 500)
        async with redis.asyncio.Redis.from_url(redis_url, **PATIENT) as client:
            await client.config_resetstat()
            scripts = 0
            async with asyncio.timeout(60):
                while scripts < 4:  # two beats of each replica
                    stats = await client.info("commandstats")
                    scripts = stats.get("cmdstat_evalsha", {"calls": 0})["calls"]
            # All commands, inside the scripts too, but not this test's own looks at them.
            looks = (await client.info("commandstats"))["cmdstat_info"]["calls"]
            assert await commands_run(client) - looks < 3000
        for one in waiters:
            one.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)

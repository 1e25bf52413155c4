"""The client without async: threads, the same calls."""

import asyncio
import threading

import pytest

from admission.client import BlockingClient, Granted, NotAdmitted, Unavailable
from tests.support.service import ServiceHarness


async def test_a_call_in_a_with_block(harness: ServiceHarness):
    def dial() -> tuple[str, str | None]:
        with BlockingClient(harness.url) as client, client.admission("collections") as grant:
            assert grant.launch_within_s() > 0
            grant.launched(port_taken=True, session_id="s-1")
            answered = grant.settled()
            grant.ended("no_answer")
            return grant.id, answered.state if answered else None

    id, state = await asyncio.to_thread(dial)
    over = await harness.reservation(id)
    assert (state, over["state"], over["outcome"]) == ("live", "ended", "no_answer")
    assert over["session_id"] == "s-1"


async def test_a_block_that_raises_reports_unknown(harness: ServiceHarness):
    ids = []

    def dial() -> None:
        with BlockingClient(harness.url) as client, client.admission("collections") as grant:
            ids.append(grant.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(dial)
    assert (await harness.reservation(ids[0]))["outcome"] == "unknown"


async def test_a_call_of_unknown_outcome_stays_unknown_when_its_block_ends(harness: ServiceHarness):
    def dial() -> str:
        with BlockingClient(harness.url) as client, client.admission("collections") as grant:
            grant.ended("unknown")
            return grant.id

    id = await asyncio.to_thread(dial)
    assert (await harness.reservation(id))["outcome"] == "unknown"


async def test_many_threads_share_one_client(harness: ServiceHarness):
    def dial() -> int:
        with BlockingClient(harness.url, owner="threads") as client:
            answer = client.ask("collections", count=8)
            assert isinstance(answer, Granted)
            with pytest.raises(NotAdmitted), client.admission("collections"):
                raise AssertionError("it was denied")
            assert len(client.reservations("East", owner="threads")) == 8
            calls = client.hold(answer)

            def end(n: int) -> None:
                with calls[n] as call:
                    call.launched(port_taken=True)

            threads = [threading.Thread(target=end, args=(n,)) for n in range(8)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            return len(calls)

    assert await asyncio.to_thread(dial) == 8
    assert await harness.in_use() == 0


def test_a_client_that_is_not_open_raises():
    client = BlockingClient("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="not open"):
        client.ask("collections")

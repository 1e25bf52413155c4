"""A caller that sends too many requests is refused with a retry time."""

import asyncio
import hashlib

import pytest
from aiohttp import ClientSession

from admission.domain.types import Role
from admission.errors import TooFast
from admission.http.app import create_app
from admission.http.auth.rate_limit import CALLERS_MAX, RequestRate
from admission.http.auth.tokens import Credentials, Token
from admission.http.context import APP_CONTEXT
from tests.support.http_server import ASK, ID, FakeDecider, serving
from tests.support.manual_time import ManualTime

NOW_NS = 1_000_000_000_000


def count_passed(rate: RequestRate, caller: str, tries: int) -> int:
    """Return the number of tries that passed."""
    passed = 0
    for _ in range(tries):
        try:
            rate.take(caller)
            passed += 1
        except TooFast:
            pass
    return passed


def test_a_burst_of_one_second_passes_and_then_the_rate() -> None:
    clock = ManualTime(NOW_NS)
    rate = RequestRate(10, clock=clock)
    assert count_passed(rate, "a", 100) == 10
    clock.now += 500_000_000
    assert count_passed(rate, "a", 100) == 5


def test_a_refused_caller_gets_a_retry_time_and_uses_no_budget() -> None:
    clock = ManualTime(NOW_NS)
    rate = RequestRate(2, clock=clock)
    assert count_passed(rate, "a", 50) == 2
    with pytest.raises(TooFast) as refused:
        rate.take("a")
    clock.now += round(refused.value.retry_after_s * 1e9)
    assert count_passed(rate, "a", 50) == 1


def test_less_than_one_a_second_is_a_rate_too() -> None:
    clock = ManualTime(NOW_NS)
    rate = RequestRate(0.5, clock=clock)
    assert count_passed(rate, "a", 5) == 1
    clock.now += 2_000_000_000
    assert count_passed(rate, "a", 5) == 1


def test_callers_do_not_take_from_each_other() -> None:
    rate = RequestRate(3, clock=ManualTime(NOW_NS))
    assert count_passed(rate, "a", 10) == 3
    assert count_passed(rate, "b", 10) == 3


def test_the_number_of_tracked_callers_is_bounded() -> None:
    rate = RequestRate(1, clock=ManualTime(NOW_NS))
    for n in range(2 * CALLERS_MAX):
        rate.take(str(n))
    assert len(rate._arrival_ns) <= CALLERS_MAX


def test_callers_without_debt_are_dropped_first() -> None:
    clock = ManualTime(NOW_NS)
    rate = RequestRate(2, clock=clock)
    rate.take("busy")
    for n in range(CALLERS_MAX - 1):
        rate.take(str(n))
    clock.now += 10_000_000_000
    assert count_passed(rate, "busy", 5) == 2
    rate.take("new")
    assert set(rate._arrival_ns) == {"busy", "new"}
    assert count_passed(rate, "busy", 5) == 0


def test_the_oldest_callers_are_dropped_when_all_have_debt() -> None:
    rate = RequestRate(2, clock=ManualTime(NOW_NS))
    for n in range(CALLERS_MAX):
        rate.take(str(n))
    assert count_passed(rate, "0", 5) == 1
    assert len(rate._arrival_ns) == CALLERS_MAX
    rate.take("new")
    assert next(iter(rate._arrival_ns)) == str(CALLERS_MAX // 2)
    assert count_passed(rate, "0", 5) == 2


def test_without_a_limit_nothing_is_counted() -> None:
    rate = RequestRate(0)
    assert count_passed(rate, "a", 1000) == 1000
    assert rate._arrival_ns == {}


def token(name: str, role: Role = Role.DIALER) -> Token:
    return Token(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), role=role)


async def statuses(http: ClientSession, path: str, n: int, who: str | None = None) -> list[int]:
    headers = {"Authorization": f"Bearer {who}"} if who else {}

    async def one() -> int:
        method = "GET" if path.endswith("z") else "POST"
        async with http.request(method, path, json=ASK, headers=headers) as answer:
            if answer.status == 429:
                problem = await answer.json(content_type="application/problem+json")
                assert int(answer.headers["Retry-After"]) * 1000 >= problem["retry_after_ms"] > 0
            return answer.status

    return sorted(await asyncio.gather(*(one() for _ in range(n))))


async def test_each_token_has_its_own_rate(decider: FakeDecider) -> None:
    credentials = Credentials([token("a"), token("b")])
    # So slow that no machine is: one request, the next after more than a quarter of an hour.
    app = create_app(decider, credentials=credentials, default_zone="East", requests_per_s=0.001)
    async with serving(app) as server:
        assert await statuses(server.http, "/v1/admissions", 4, "a") == [200, 429, 429, 429]
        assert await statuses(server.http, "/v1/admissions", 2, "b") == [200, 429]
    assert len(decider.calls) == 2


async def test_guessed_tokens_are_limited_by_address(decider: FakeDecider) -> None:
    app = create_app(decider, credentials=Credentials([token("a")]), requests_per_s=0.001)
    async with serving(app) as server:
        assert await statuses(server.http, "/v1/admissions", 3, "wrong") == [401, 429, 429]
        assert await statuses(server.http, "/r/x/end", 1) == [429]
        assert await statuses(server.http, "/v1/admissions", 1, "a") == [200]


async def test_without_tokens_addresses_are_limited_and_health_is_not(
    decider: FakeDecider,
) -> None:
    app = create_app(decider, default_zone="East", requests_per_s=0.001)
    async with serving(app) as server:
        assert await statuses(server.http, "/v1/admissions", 3) == [200, 429, 429]
        assert await statuses(server.http, "/healthz", 5) == [200] * 5
        assert await statuses(server.http, "/readyz", 5) == [200] * 5


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/admissions/batch", {"requests": [ASK] * 5}),
        ("/v1/admissions", {**ASK, "count": 5}),
        ("/v1/reservations/batch", {"reports": [{"op": "end", "id": ID}] * 5}),
    ],
)
async def test_a_body_counts_as_many_as_it_holds(
    decider: FakeDecider, path: str, body: dict[str, object]
) -> None:
    app = create_app(decider, default_zone="East", requests_per_s=0.001)
    async with serving(app) as server, server.http.post(path, json=body) as answer:
        assert answer.status == 200
    with pytest.raises(TooFast) as refused:
        app[APP_CONTEXT].rate.take("address 127.0.0.1")
    assert 4_000 < refused.value.retry_after_s <= 5_000


async def test_guesses_at_the_dashboard_are_limited_too(decider: FakeDecider) -> None:
    app = create_app(decider, credentials=Credentials([token("a")]), requests_per_s=0.001)
    headers = {"Accept": "text/html", "Authorization": "Bearer wrong"}
    async with serving(app) as server:
        statuses = []
        for _ in range(2):
            async with server.http.get("/", headers=headers) as answer:
                statuses.append(answer.status)
        async with server.http.get("/", headers={"Accept": "text/html"}) as answer:
            statuses.append(answer.status)
    assert statuses == [401, 429, 401]

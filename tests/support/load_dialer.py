"""The dialer of tests that run a real service in real time, and the statistics of all of them.

It asks over HTTP, keeps the promises of a grant by its own stopwatch, repeats what got no answer
and reports how each call ended. How a call is launched and followed differs between platforms: a
`Launch` function does it. The dialers of tests/support/simulation (virtual time, and they crash)
and tests/support/virtual_dialers.py (no calls but their duration) share no code with it, since
they share no notion of time.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import aiohttp

from admission.domain.outcomes import Outcome
from admission.sim.values import Progress

CALLS_MAX = 4  # of one dialer at once
ANSWER_S = 5.0  # a request without an answer by then is given up, and repeated
PAUSE_S_MAX = 0.25
REPORT_TRIES = 200
NO_ANSWER = 0  # stands for the status of a request that got no answer
DECIDED = (200, 404, 503)  # statuses that an outage excuses


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a call, with the outcome and the platform's code of an ended one."""

    progress: Progress
    outcome: Outcome | None = None
    code: str = ""


# Request and decision -> the steps of the call. It launches before it returns.
Launch = Callable[[dict[str, Any], Any], Awaitable[AsyncIterator[Step]]]
# Fields of the next request beside its campaign and id.
MakeRequest = Callable[[Random], dict[str, Any]]


class LoadStatistics:
    """What all dialers of a run did."""

    def __init__(self) -> None:
        self.sent = self.answered = self.grants = self.given_up = self.launches = 0
        self.slowest_s = 0.0  # of all answers
        self.statuses: Counter[int] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.unexpected: list[Any] = []  # answers that no outage excuses
        self._granted: list[tuple[float, float]] = []  # asked at, answered at (loop time)
        self._changed = asyncio.Event()

    def add_answer(self, status: int, path: str, answer: Any, took_s: float) -> None:
        """A request was answered."""
        self.answered += 1
        self.slowest_s = max(self.slowest_s, took_s)
        self.statuses[status] += 1
        if status not in DECIDED:
            self.unexpected.append((status, path, answer))

    def add_grant(self, asked_at: float) -> None:
        """A grant was answered now."""
        self.grants += 1
        self._granted.append((asked_at, asyncio.get_running_loop().time()))
        self._changed.set()

    async def wait_for_grants(self, grants: int, timeout_s: float) -> None:
        """Wait until so many grants were made in all."""
        async with asyncio.timeout(timeout_s):
            while self.grants < grants:
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_grant_after(self, moment: float, timeout_s: float) -> float:
        """Wait for a grant that was asked for after a moment. Returns when it was answered.

        Both times are of the event loop.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                for asked_at, answered_at in self._granted:
                    if asked_at > moment:
                        return answered_at
                self._changed.clear()
                await self._changed.wait()


class Dialer:
    """Asks for one call after the other, launches what is granted, reports what happens.

    Args:
        name: its campaign.
        url: of the service.
        launch: launches a granted call.
        statistics: shared by all dialers of a run.
        seed: of its random numbers.
        make_request: fields of each request.
        port_reports: the share of calls whose taken port it reports, 0 to 1.
    """

    def __init__(
        self,
        name: str,
        url: str,
        launch: Launch,
        statistics: LoadStatistics,
        seed: int,
        *,
        make_request: MakeRequest,
        port_reports: float = 1.0,
    ) -> None:
        self.name = name
        self._url = url
        self._launch = launch
        self._statistics = statistics
        self._random = Random(seed)
        self._make_request = make_request
        self._port_reports = port_reports
        self._asking = True
        self._calls: set[asyncio.Task[None]] = set()
        self._requests = 0

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        self._http = aiohttp.ClientSession(self._url, timeout=timeout)
        self._run = asyncio.create_task(self._keep_asking())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._run, *self._calls):
            task.cancel()
        await asyncio.gather(self._run, *self._calls, return_exceptions=True)
        await self._http.close()

    async def finish(self) -> None:
        """Stop asking, and wait until all of its calls have ended and been reported."""
        self._asking = False
        await self._run
        await asyncio.gather(*self._calls)

    async def _keep_asking(self) -> None:
        while self._asking:
            pause_s = await self._ask() if len(self._calls) < CALLS_MAX else 0.02
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.0))

    async def _ask(self) -> float:
        """Repeat one request until it is answered. Returns: seconds to wait before the next."""
        self._requests += 1
        body = {"campaign": self.name, "request_id": f"{self.name}-{self._requests}"}
        body |= self._make_request(self._random)
        while True:
            asked_at = asyncio.get_running_loop().time()
            status, answer = await self._post("/v1/admissions", body)
            if status == 200:
                break
            if not self._asking and status == NO_ANSWER:
                return 0.0
            await asyncio.sleep(PAUSE_S_MAX / 4)
        if answer["decision"] == "deny":
            return min(PAUSE_S_MAX, (answer["retry_after_ms"] or 1000) / 1000)
        self._statistics.add_grant(asked_at)
        task = asyncio.create_task(self._call(body, answer, asked_at))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return 0.01

    async def _call(self, request: dict[str, Any], answer: Any, asked_at: float) -> None:
        """Launch within the promised time, or return the grant; no await lies between."""
        [granted] = answer["reservations"]
        passed_ms = (asyncio.get_running_loop().time() - asked_at) * 1000
        if passed_ms >= answer["launch_within_ms"]:
            await self._report(granted, "end", {"outcome": "not_launched"})
            return
        steps = await self._launch(request, answer)
        self._statistics.launches += 1
        reports_port = self._random.random() < self._port_reports
        async for step in steps:
            if step.progress is Progress.PORT_TAKEN and reports_port:
                restated = {name: answer[name] for name in ("zone", "channel", "campaign")}
                restated["pools"] = request.get("pools", [])
                body = {"port_taken": True, "reservation": restated}
                # The end must not wait for a report that an outage holds up.
                await self._report(granted, "launched", body, tries=1)
            if step.progress is Progress.ENDED:
                outcome = step.outcome or Outcome.UNKNOWN
                self._statistics.outcomes[outcome] += 1
                code = {"platform_code": step.code} if step.code else {}
                await self._report(granted, "end", {"outcome": outcome.value, **code})
                return

    async def _report(self, granted: Any, verb: str, body: Any, tries: int = REPORT_TRIES) -> None:
        for _ in range(tries):
            status, _ = await self._post(f"/v1/reservations/{granted['id']}/{verb}", body)
            if status in (200, 404):
                return
            await asyncio.sleep(PAUSE_S_MAX)

    async def _post(self, path: str, body: Any) -> tuple[int, Any]:
        """Send a request. Returns its status, or NO_ANSWER, and the JSON."""
        self._statistics.sent += 1
        began = asyncio.get_running_loop().time()
        try:
            async with self._http.post(path, json=body) as response:
                answer = await response.json(content_type=None)
                took_s = asyncio.get_running_loop().time() - began
                self._statistics.add_answer(response.status, path, answer, took_s)
                return response.status, answer
        except TimeoutError:
            self._statistics.given_up += 1
        except aiohttp.ClientError:
            pass
        return NO_ANSWER, None

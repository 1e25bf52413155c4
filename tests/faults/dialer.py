"""A dialer for the tests of faults: honest, persistent, and counted."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.live import RealTimePortal
from admission.sim.values import CallEvent, Progress

CALLS_MAX = 4  # of one dialer at once
ANSWER_S = 5.0  # a request without an answer by then is given up, and repeated
PAUSE_S_MAX = 0.25
REPORT_TRIES = 200


class Tally:
    """What all dialers of a world did, and the platform's events on their way to them."""

    def __init__(self) -> None:
        self.sent = self.answered = self.grants = self.given_up = 0
        self.slowest_s = 0.0  # of all answers
        self.statuses: dict[int, int] = {}
        self.strange: list[Any] = []  # answers that no outage excuses
        self._granted: list[tuple[float, float]] = []  # asked at, answered at (loop time)
        self._news = asyncio.Event()
        self._listeners: dict[str, Callable[[CallEvent], None]] = {}

    def follow(self, session: str, listener: Callable[[CallEvent], None]) -> None:
        """Tell the listener each step of that call until it has ended."""
        self._listeners[session] = listener

    def hear(self, event: CallEvent) -> None:
        """A step of a call, told by the platform."""
        last = event.step is Progress.ENDED
        take = self._listeners.pop if last else self._listeners.get
        if listener := take(event.session, None):
            listener(event)

    def granted(self, asked_at: float) -> None:
        """A grant was answered now."""
        self.grants += 1
        self._granted.append((asked_at, asyncio.get_running_loop().time()))
        self._news.set()

    async def counts(self, grants: int, patience_s: float) -> None:
        """Wait until so many grants were made."""
        async with asyncio.timeout(patience_s):
            while self.grants < grants:
                self._news.clear()
                await self._news.wait()

    async def granted_after(self, moment: float, patience_s: float) -> float:
        """When the first grant was answered that was asked for after a moment (loop time)."""
        async with asyncio.timeout(patience_s):
            while True:
                for asked_at, answered_at in self._granted:
                    if asked_at > moment:
                        return answered_at
                self._news.clear()
                await self._news.wait()


class Dialer:
    """Asks for one call after the other, launches what is granted, reports what happens."""

    def __init__(
        self, name: str, url: str, platform: RealTimePortal, tally: Tally, seed: int
    ) -> None:
        self.name = name
        self._url = url
        self._platform = platform
        self._tally = tally
        self._random = random.Random(seed)
        self._asking = True
        self._calls: set[asyncio.Task[None]] = set()
        self._asks = 0

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        self._http = aiohttp.ClientSession(self._url, timeout=timeout)
        self._run = asyncio.create_task(self._ask_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._run, *self._calls):
            task.cancel()
        await asyncio.gather(self._run, *self._calls, return_exceptions=True)
        await self._http.close()

    def stop_asking(self) -> None:
        """Finish what is under way."""
        self._asking = False

    async def finished(self) -> None:
        """Wait until all of its calls have ended and been reported."""
        await self._run
        await asyncio.gather(*self._calls)

    async def _ask_on(self) -> None:
        while self._asking:
            if len(self._calls) < CALLS_MAX:
                pause_s = await self._ask()
            else:
                pause_s = 0.02
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.0))

    async def _ask(self) -> float:
        """One ask, repeated until it is answered. Returns: seconds to wait before the next."""
        self._asks += 1
        body = {"campaign": self.name, "request_id": f"{self.name}-{self._asks}"}
        body |= {"pools": ["trunk:a"]}
        while True:
            asked_at = asyncio.get_running_loop().time()
            status, answer = await self._post("/v1/admissions", body)
            if status == 200:
                break
            if not self._asking and status == 0:
                return 0.0
            await asyncio.sleep(PAUSE_S_MAX / 4)
        if answer["decision"] == "deny":
            return min(PAUSE_S_MAX, (answer["retry_after_ms"] or 1000) / 1000)
        self._tally.granted(asked_at)
        self._begin(answer, asked_at)
        return 0.01

    def _begin(self, answer: Any, asked_at: float) -> None:
        """Launch within the promised time, or hand the grant back; no await lies between."""
        [granted] = answer["reservations"]
        passed_ms = (asyncio.get_running_loop().time() - asked_at) * 1000
        if passed_ms >= answer["launch_within_ms"]:
            call = self._report(granted, "end", {"outcome": "not_launched"})
        else:
            news: asyncio.Queue[CallEvent] = asyncio.Queue()
            session = self._platform.act(lambda portal: portal.launch("East", campaign=self.name))
            self._tally.follow(session, news.put_nowait)
            call = self._follow(granted, news)
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _follow(self, granted: Any, news: asyncio.Queue[CallEvent]) -> None:
        restated = {"zone": "East", "channel": "sip", "campaign": self.name, "pools": ["trunk:a"]}
        while True:
            event = await news.get()
            if event.step is Progress.ENDED:
                outcome = event.outcome or Outcome.UNKNOWN
                await self._report(granted, "end", {"outcome": outcome.value})
                return
            if event.step is Progress.PORT_TAKEN:
                body = {"port_taken": True, "reservation": restated}
                # The end must not wait for a report that an outage holds up.
                await self._report(granted, "launched", body, tries=1)

    async def _report(self, granted: Any, verb: str, body: Any, tries: int = REPORT_TRIES) -> None:
        for _ in range(tries):
            status, _ = await self._post(f"/v1/reservations/{granted['id']}/{verb}", body)
            if status in (200, 404):
                return
            await asyncio.sleep(PAUSE_S_MAX)

    async def _post(self, path: str, body: Any) -> tuple[int, Any]:
        """-> the status, 0 without an answer, and the JSON."""
        tally = self._tally
        tally.sent += 1
        began = asyncio.get_running_loop().time()
        try:
            async with self._http.post(path, json=body) as response:
                answer = await response.json(content_type=None)
                tally.answered += 1
                took_s = asyncio.get_running_loop().time() - began
                tally.slowest_s = max(tally.slowest_s, took_s)
                tally.statuses[response.status] = tally.statuses.get(response.status, 0) + 1
                if response.status not in (200, 404, 503):
                    tally.strange.append((response.status, path, answer))
                return response.status, answer
        except TimeoutError:
            tally.given_up += 1
        except aiohttp.ClientError:
            pass
        return 0, None

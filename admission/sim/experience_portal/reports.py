"""The reports that a simulated application page sends to the `report_url` of its launch.

A CCXML page can fetch a URL with form fields; that is all it needs to tell an admission
controller what became of its call. Reports of one call go out in order.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import aiohttp
from yarl import URL

from admission.sim.values import CallEvent, Progress

LANES: Final = 16
QUEUE_MAX: Final = 200
URL_MAX: Final = 500
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A form to post. Args: url, form."""

    url: URL
    form: dict[str, str]


def report_of(event: CallEvent, report_url: str) -> Report | None:
    """What a page reports on a step of its call, None if it says nothing or the URL is no URL."""
    try:
        base = URL(report_url)
    except ValueError:
        return None
    if base.scheme not in ("http", "https") or len(report_url) > URL_MAX:
        return None
    if event.step is Progress.PORT_TAKEN:
        form = {"port_taken": "true", "session_id": event.session}
        return Report(url=_below(base, "launched"), form=form)
    if event.step is Progress.ENDED and event.outcome:
        return Report(url=_below(base, "end"), form={"outcome": event.outcome.value})
    return None


def _below(base: URL, verb: str) -> URL:
    """One path segment more; the query, where a token may be, stays."""
    return (base / verb).with_query(base.query)


class Reporter:
    """Posts reports over a bounded number of lanes; one call's go through one lane.

    Args:
        timeout_s: of one report. A report that fails is lost, as a page's would be.
        hosts: the hosts it may post to, so that a launch cannot aim it elsewhere.
    """

    def __init__(self, *, timeout_s: float, hosts: frozenset[str]) -> None:
        self.sent = 0
        self.lost = 0
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._hosts = hosts
        self._lanes: list[asyncio.Queue[Report]] = []
        self._stack = AsyncExitStack()
        self._workers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the lanes."""
        session = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=self._timeout)
        )
        self._lanes = [asyncio.Queue(QUEUE_MAX) for _ in range(LANES)]
        self._workers = [asyncio.create_task(self._work(session, lane)) for lane in self._lanes]

    async def stop(self) -> None:
        """Close the lanes; what waits in them is lost."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._stack.aclose()

    def heard(self, event: CallEvent, report_url: str) -> None:
        """A call went one step on: report it if there is something to say."""
        report = report_of(event, report_url)
        if report is None:
            return
        if report.url.host not in self._hosts or not self._lanes:
            self.lost += 1
            return
        try:
            self._lanes[crc32(event.session.encode()) % LANES].put_nowait(report)
        except asyncio.QueueFull:
            self.lost += 1

    async def _work(self, session: aiohttp.ClientSession, lane: asyncio.Queue[Report]) -> None:
        while True:
            report = await lane.get()
            try:
                async with session.post(
                    report.url, data=report.form, allow_redirects=False
                ) as answer:
                    answer.raise_for_status()
                self.sent += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.lost += 1
                log.info("a report was lost: %s", type(error).__name__)

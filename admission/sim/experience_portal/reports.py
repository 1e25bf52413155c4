"""The reports that a simulated application page sends to the `report_url` of its launch.

A CCXML page can fetch a URL with form fields, which suffices to report on its call. Reports of one
call are sent in order.
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

QUEUES: Final = 16
QUEUE_MAX: Final = 200
URL_MAX: Final = 500
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A form to post."""

    url: URL
    form: dict[str, str]


def build_report(event: CallEvent, report_url: str) -> Report | None:
    """Build a page's report on a step of its call; None: nothing to report, or no valid URL."""
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
    """Append a path segment; the query, which may contain a token, stays."""
    return (base / verb).with_query(base.query)


class Reporter:
    """Posts reports through a fixed number of queues; those of one call use one queue.

    Args:
        timeout_s: of one report. A report that fails is lost, as that of a real page.
        hosts: the permitted hosts, so that a launch cannot direct reports elsewhere.
    """

    def __init__(self, *, timeout_s: float, hosts: frozenset[str]) -> None:
        self.sent = 0
        self.lost = 0
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._hosts = hosts
        self._queues: list[asyncio.Queue[Report]] = []
        self._stack = AsyncExitStack()
        self._workers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers."""
        session = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=self._timeout)
        )
        self._queues = [asyncio.Queue(QUEUE_MAX) for _ in range(QUEUES)]
        self._workers = [asyncio.create_task(self._work(session, queue)) for queue in self._queues]

    async def stop(self) -> None:
        """Stop the workers; queued reports are lost."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._stack.aclose()

    def record(self, event: CallEvent, report_url: str) -> None:
        """Queue the report on a step of a call, if there is one."""
        report = build_report(event, report_url)
        if report is None:
            return
        if report.url.host not in self._hosts or not self._queues:
            self.lost += 1
            return
        try:
            self._queues[crc32(event.session.encode()) % QUEUES].put_nowait(report)
        except asyncio.QueueFull:
            self.lost += 1

    async def _work(self, session: aiohttp.ClientSession, queue: asyncio.Queue[Report]) -> None:
        while True:
            report = await queue.get()
            try:
                async with session.post(
                    report.url, data=report.form, allow_redirects=False
                ) as answer:
                    answer.raise_for_status()
                self.sent += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.lost += 1
                log.info("a report was lost: %s", type(error).__name__)

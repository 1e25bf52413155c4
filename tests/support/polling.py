"""A clock that tests move, a ledger with leases only, and a scripted source: for the poller."""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from admission.domain.policy.zone import ZonePolicy
from admission.domain.snapshots import IngestAnswer, Lease, Snapshot, SnapshotGroup
from admission.errors import SourceError, Unavailable
from admission.sources.polling.health import SourceState
from admission.sources.polling.poller import Poller
from admission.sources.polling.schedule import ZonePoll

ZONE_TIME = 1_700_000_000_000  # zone time when the test's clock reads 0
MakePoller = Callable[..., Poller]


class ManualClock:
    """Stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    def now_ms(self) -> int:
        return self._now

    async def sleep(self, ms: int, woken_by: asyncio.Event | None = None) -> None:
        self._order += 1
        alarm = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + ms, self._order, alarm))
        waiting = {alarm}
        if woken_by is not None:
            waiting.add(asyncio.ensure_future(woken_by.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def advance(self, ms: int) -> None:
        """Let everything happen that is due within `ms`, in order."""
        until = self._now + ms
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, alarm = heapq.heappop(self._sleepers)
            if not alarm.done():
                alarm.set_result(None)
                await settle()
        self._now = until


async def settle() -> None:
    """Let every task run until it waits for the clock; nothing here does real I/O."""
    for _ in range(30):
        await asyncio.sleep(0)


class FakeLedger:
    """Leases as lua/commands/lease.lua gives them, in the time of the test's clock."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.down = False
        self.ingest_down = False
        self.wanted: set[str] = set()
        self.idle_ms = 0
        self.refuse: str | None = None
        self.holders: dict[str, tuple[str, int]] = {}
        self.tokens: dict[str, int] = defaultdict(int)
        self.lease_calls: list[tuple[str, str, int]] = []
        self.ingested: list[tuple[str, int, int | None, str | None]] = []
        self.released: list[tuple[str, str]] = []

    @property
    def now(self) -> int:
        return ZONE_TIME + self._clock.now_ms()

    async def acquire_lease(self, zone: str, holder: str, ttl_ms: int) -> Lease:
        self._answer()
        self.lease_calls.append((zone, holder, ttl_ms))
        held_by, until = self.holders.get(zone, ("", 0))
        mine = held_by == holder or self.now > until
        if mine:
            self.tokens[zone] += held_by != holder or self.now > until
            until = self.now + ttl_ms
            self.holders[zone] = holder, until
        return Lease(
            now=self.now,
            token=self.tokens[zone] if mine else None,
            until=until,
            wanted=zone in self.wanted,
            idle_ms=self.idle_ms,
            newest_t0=0,
        )

    async def release_lease(self, zone: str, holder: str) -> None:
        self._answer()
        self.released.append((zone, holder))
        if self.holders.get(zone, ("", 0))[0] == holder:
            self.holders[zone] = "", 0

    async def ingest(
        self, zone: str, t0: int, snapshot: Snapshot, token: int | None = None
    ) -> IngestAnswer:
        self._answer()
        if self.ingest_down:
            raise Unavailable("no ledger to ingest")
        reason = "deposed" if token != self.tokens[zone] else self.refuse
        self.ingested.append((zone, t0 - ZONE_TIME, token, reason))
        self.wanted.discard(zone)
        pool = "channel:sip" if reason else None
        refused = {"channel:sip": reason} if reason else {}
        return IngestAnswer(
            now=self.now, accepted=not reason, reason=reason, pool=pool, refused=refused
        )

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("no ledger")


class Query(NamedTuple):
    """A query of a platform: when (ms of the test's clock), its zone there, its channels."""

    at_ms: int
    source_zone: str
    channels: tuple[str, ...]


class ScriptedSource:
    """A source that counts every channel, and whose delays and errors a test sets.

    Args:
        clock: gives the times of queries, and lets `takes_ms` pass; None: there is no such time.
        takes_ms: how long a query takes.

    Attributes:
        error: raised by queries, unless None.
        queries: all of them.
    """

    def __init__(
        self,
        clock: ManualClock | None = None,
        name: str = "epm",
        *,
        min_interval_ms: int = 0,
        takes_ms: int = 0,
    ) -> None:
        self._clock = clock or ManualClock()
        self.name = name
        self.min_interval_ms = min_interval_ms
        self.timeout_ms = 3_000
        self.takes_ms = takes_ms
        self.error: Exception | None = None
        self.queries: list[Query] = []
        self._queried = asyncio.Event()

    @property
    def times(self) -> list[int]:
        """When it was queried, in ms."""
        return [one.at_ms for one in self.queries]

    def fail(self, reason: str) -> None:
        self.error = SourceError(reason)

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        query = Query(self._clock.now_ms(), policy.source_zone or "", policy.channels)
        self.queries.append(query)
        self._queried.set()
        if self.takes_ms:
            await self._clock.sleep(self.takes_ms)
        if self.error:
            raise self.error
        unused = {f"channel:{channel}": 4 for channel in policy.channels}
        return Snapshot(groups=(SnapshotGroup(total=10, unused=unused),))

    async def wait_for_query(self, source_zone: str, channels: tuple[str, ...]) -> None:
        """Wait until the newest query is for this zone and these channels."""
        async with asyncio.timeout(10):
            while not self.queries or self.queries[-1][1:] != (source_zone, channels):
                self._queried.clear()
                await self._queried.wait()

    async def close(self) -> None:
        """The source holds no resource."""


def make_policy(channels: tuple[str, ...] = ("sip",), **changes: object) -> ZonePolicy:
    """A policy with defaults; changes are not validated, so that a test may exceed its bounds."""
    policy = ZonePolicy(source="epm", channels=("sip",))
    return policy.model_copy(update={"channels": channels, **changes})


def zone(*sources: ScriptedSource, **changes: object) -> ZonePoll:
    return ZonePoll(sources=sources, policy=make_policy(**changes))  # type: ignore[arg-type]


def state(poller: Poller, name: str = "East") -> SourceState:
    return poller.health(name)[0].state


def gaps(times: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(times)]

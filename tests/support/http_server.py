"""A decider that records its calls, and an application served on a free port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse, ClientSession, TCPConnector, web

from admission.domain.snapshots import IngestAnswer, SnapshotGroup
from admission.domain.types import Answer, SigningKeys, StoreMemory, TemporaryLimit
from admission.errors import AdmissionError, NotFound
from admission.http.ids import make_signed_id
from admission.http.server.serve import serve_app
from admission.ledger.operations import drop_nulls

NOW = 1_790_000_000_000
ID = "East~" + make_signed_id(b"x7Yk2mPq", b"secret of East")
ASK = {"zone": "East", "channel": "sip", "campaign": "collections"}
POLICY = {"source": "push", "channels": ["sip"]}
LIVE = {"now": NOW, "version": 7, "digest": "d" * 64, "policy": POLICY, "paused": {}}
POOLS = [
    {"pool": "agent:1001", "in_use": 1},
    {
        "pool": "channel:sip",
        "in_use": 7,
        "pending": 2,
        "held": 5,
        "ceiling": 69,
        "limit": 60,
        "headroom": 0,
        "room": 53,
        "snapshot": {
            "age_ms": 412,
            "total": 200,
            "unused": 64,
            "t0": NOW - 412,
            "t1": NOW - 300,
            "w0": NOW - 1412,
        },
    },
]
STATUS = {
    "now": NOW,
    "schema": 1,
    "recovered_from": 0,
    "recover_until": 0,
    "max_age_ms": 15_000,
    "pools": POOLS,
    "waiters": 0,
    "longest_wait_ms": 0,
    "lease": {},
    "stats": {},
    "recent_denials": [],
    "set_aside": [],
    "recount": {"in_doubt": False, "running": False},
}


@dataclass
class FakeDecider:
    """Grants everything, or raises `fault`. While `gate` is clear, `admit` and `report` wait."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fault: Exception | None = None
    gate: asyncio.Event | None = None
    called: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    withdrawn: list[str] = field(default_factory=list)
    stopped: bool = False
    waits: list[int] = field(default_factory=list)
    by: str | None = None
    secrets_asked: list[bool] = field(default_factory=list)
    made: dict[str, "FakeZone"] = field(default_factory=dict)

    def list_zones(self) -> list[str]:
        return ["East", "West"]

    def zone(self, name: str) -> "FakeZone":
        if name not in self.list_zones():
            raise NotFound("There is no such zone.")
        return self.made.setdefault(name, FakeZone(self, name))

    async def check_ready(self) -> None:
        await self.record("check_ready")

    async def read_store_memory(self) -> list[StoreMemory]:
        return [StoreMemory(server="redis:6379", used_bytes=80, limit_bytes=100)]

    async def stop_waiting(self) -> None:
        self.stopped = True

    async def record(self, *call: Any) -> None:
        self.calls.append(call)
        self.called.set()
        if self.fault is not None:
            raise self.fault

    async def wait(self) -> None:
        if self.gate is None:
            return
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def until_called(self) -> None:
        async with asyncio.timeout(15):
            await self.called.wait()


@dataclass(eq=False)
class FakeZone:
    """One zone of a `FakeDecider`, which remembers the calls."""

    decider: FakeDecider
    name: str

    async def get_time(self) -> int:
        await self.decider.record("get_time", self.name)
        return NOW

    async def admit(self, op: dict[str, Any], wait_ms: int = 0, caller: str = "") -> Answer:
        self.decider.waits.append(wait_ms)
        await self.decider.record("admit", self.name, op)
        await self.decider.wait()
        return granted(self.name, op)

    async def admit_batch(
        self, ops: Sequence[dict[str, Any]], caller: str = ""
    ) -> list[Answer | AdmissionError]:
        try:
            return [await self.admit(op) for op in ops]
        except AdmissionError as fault:
            return [fault for _ in ops]

    def withdraw(self, op: dict[str, Any]) -> None:
        self.decider.withdrawn.append(op["request_id"])

    async def report(self, op: dict[str, Any], caller: str = "") -> Answer:
        await self.decider.record("report", self.name, drop_nulls(op))  # as the ledger does
        await self.decider.wait()
        return {"id": op["id"], "now": NOW, "state": "live", "repeated": False}

    async def report_batch(
        self, ops: Sequence[dict[str, Any]], caller: str = ""
    ) -> list[Answer | AdmissionError]:
        try:
            return [await self.report(op) for op in ops]
        except AdmissionError as fault:
            return [fault for _ in ops]

    async def get_reservation(self, reservation_id: str, scope: Any) -> Answer:
        await self.decider.record("get_reservation", self.name, reservation_id, scope)
        return {"id": reservation_id, "now": NOW, "state": "live", "campaign": "collections"}

    async def list_reservations(self, **filters: Any) -> Answer:
        await self.decider.record("list_reservations", self.name, filters)
        return {"now": NOW, "zone": self.name, "cursor": None, "reservations": []}

    async def get_status(self) -> Answer:
        await self.decider.record("get_status", self.name)
        return STATUS | {
            "zone": self.name,
            "recovering": self.name == "West",
        }

    async def set_paused(self, pool: str | None, paused: bool, by: str | None = None) -> Answer:
        self.decider.by = by
        await self.decider.record("set_paused", self.name, pool, paused)
        fields = {"paused": paused, "changed": True, "version": 8}
        return {"now": NOW, "zone": self.name, "pool": pool, **fields}

    async def set_limit(self, limit: TemporaryLimit) -> Answer:
        self.decider.by = limit.by
        await self.decider.record("set_limit", self.name, limit)
        fields = {
            "limit": limit.limit,
            "temporary_limit": limit.limit,
            "temporary_limit_until": NOW + limit.ttl_ms,
        }
        return {"now": NOW, "zone": self.name, "pool": limit.pool, **fields}

    async def clear_aside(self, by: str | None = None) -> Answer:
        self.decider.by = by
        await self.decider.record("clear_aside", self.name)
        return {"zone": self.name, "now": NOW, "cleared": 2}

    async def get_policy(self) -> Answer:
        await self.decider.record("get_policy", self.name)
        return {**LIVE, "zone": self.name}

    async def put_policy(
        self, document: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        self.decider.by = by
        await self.decider.record("put_policy", self.name, document, versions)
        return {**LIVE, "zone": self.name, "policy": document, "changed": True}

    async def patch_policy(
        self, patch: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        self.decider.by = by
        await self.decider.record("patch_policy", self.name, patch, versions)
        return {**LIVE, "zone": self.name, "changed": True}

    async def list_audit_entries(self, limit: int, before: str | None) -> Answer:
        await self.decider.record("list_audit_entries", self.name, limit, before)
        return {"now": NOW, "zone": self.name, "entries": []}

    async def rotate_keys(self, keep_ms: int, by: str | None = None) -> Answer:
        self.decider.by = by
        await self.decider.record("rotate_keys", self.name, keep_ms)
        return {"now": NOW, "zone": self.name, "version": 8, "accepted_until": NOW + keep_ms}

    async def get_keys(self, *, refresh: bool = False) -> SigningKeys:
        self.decider.secrets_asked.append(refresh)
        return SigningKeys(current=f"secret of {self.name}".encode())

    async def take_agent_session(self, agent: int, guid: str) -> Answer:
        await self.decider.record("take_agent_session", self.name, agent, guid)
        return {"now": NOW, "zone": self.name, "agent": agent, "pool": f"agent:{agent}"}

    async def push_snapshot(self, taken_at: int, groups: Sequence[SnapshotGroup]) -> IngestAnswer:
        await self.decider.record("push_snapshot", self.name, taken_at, groups)
        return IngestAnswer(now=NOW, accepted=True)


def granted(zone: str, op: dict[str, Any]) -> Answer:
    """A grant as the ledger gives it."""
    taken = {"id": f"East~{op['id']}", "mpp": None, "channel": "sip", "renew_within_ms": 150000}
    return {
        "decision": "grant",
        "now": NOW,
        "request_id": op["request_id"],
        "zone": zone,
        "channel": op.get("channel", "sip"),
        "campaign": op["campaign"],
        "granted": op.get("count", 1),
        "launch_within_ms": 1000,
        "reservations": [] if op.get("dry_run") else [taken],
        "room": 36,
        "snapshot": {"age_ms": 412, "total": 200, "unused": 64},
    }


@dataclass
class Server:
    """A served application: a client of it, its port, and the way to stop it."""

    http: ClientSession
    port: int
    stop: asyncio.Event
    done: asyncio.Task[None]

    async def raw(self, request: bytes) -> bytes:
        """Everything the server says to these bytes until it closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        async with asyncio.timeout(2):
            answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def serving(
    app: web.Application, *, serve: Callable[..., Any] = serve_app, **options: Any
) -> AsyncIterator[Server]:
    """The application on a free port, until the block is through."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    options = {"grace_ms": 2000, "on_listening": port.set_result} | options
    done = asyncio.create_task(serve(app, "127.0.0.1", 0, stop=stop, **options))
    await asyncio.wait({port, done}, return_when=asyncio.FIRST_COMPLETED)
    if done.done():
        await done
    # As many connections as a test has requests: the default of 100 would queue them.
    unlimited = TCPConnector(limit=0)
    async with ClientSession(f"http://127.0.0.1:{port.result()}", connector=unlimited) as http:
        yield Server(http, port.result(), stop, done)
        stop.set()
    async with asyncio.timeout(5):
        await done


async def problem(answer: ClientResponse, status: int, decider: FakeDecider) -> dict[str, Any]:
    """The problem of this answer, which must be one in every respect."""
    found = await answer.json(content_type="application/problem+json")
    assert (answer.status, found["status"]) == (status, status), found
    assert {"type", "title", "detail"} <= set(found)
    assert found["detail"]
    assert answer.headers["X-Request-ID"]
    assert decider.calls == []
    return dict(found)

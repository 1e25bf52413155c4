"""The ledger: one typed method for each operation of the script.

The script decides (lua/README.md). This module gives its results the names and ids of the API and
turns its errors into exceptions.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from admission.domain import Answer, IngestAnswer, Lease, Snapshot
from admission.domain.types import SigningKeys, TemporaryLimit
from admission.errors import AdmissionError
from admission.ledger import learning, operations, results, script_errors, scripts
from admission.ledger.group_commit import GroupCommit, Operation
from admission.ledger.policy_cache import OnPolicy, PolicyCache, PolicyLost, StoredPolicy, ignore
from admission.ledger.results import PlainGrant, iterate_results
from admission.ledger.script_client import ScriptClient
from admission.ledger.store.connection import RedisConnection, Script

log = logging.getLogger(__name__)

# Of zone, operation and (zone time in ms, result of the script).
BuildAnswer = Callable[[str, Operation, Any], Answer | AdmissionError]

CHANGE_TRIES: Final = 3  # attempts of a change while a lost policy is being restored


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHooks:
    """Callbacks for metrics: operations of a call, seconds of a call."""

    on_batch: Callable[[int], None] = lambda size: None
    on_call: Callable[[float], None] = lambda seconds: None


class Ledger:
    """Reservations, ceilings and decisions of all zones.

    Args:
        connection: the Redis that holds them.
        statistics: hooks for metrics.
        script: with another clock, for tests alone.
        on_policy: called with each new version of a zone's policy, this replica's own or another's.

    Every method raises Unavailable when Redis does not answer, and the caller's faults of
    `admission.errors` where the operation names something that policy does not know.
    """

    def __init__(
        self,
        connection: RedisConnection,
        *,
        statistics: LedgerHooks | None = None,
        script: Script | None = None,
        on_policy: OnPolicy = ignore,
    ) -> None:
        hooks = statistics or LedgerHooks()
        self._calls = ScriptClient(connection, script or scripts.load(), hooks.on_call)
        self._group = GroupCommit(
            self._send, hooks.on_batch, wait_s_max=connection.queue_wait_s_max
        )
        self._policies = PolicyCache(self.get_policy, on_policy)
        self._now: dict[str, int] = {}
        self._has_older_version: set[str] = set()

    async def admit(self, zone: str, operation: Operation, caller: str = "") -> Answer:
        """Decide an `admit` operation; the answer is a grant or a denial in the fields of the API.

        Args:
            operation: without nulls; it is sent as it is, because every admission passes here.
            caller: who asks: callers take turns (group_commit.py). Else `caller` of the operation.
        """
        caller = caller or operation.get("caller", "")
        result = await self._group.submit(zone, operation, operation.get("count", 1), caller)
        answer = self._build_decision(zone, operation, result)
        if isinstance(answer, AdmissionError):
            raise answer
        return answer

    async def admit_batch(
        self, zone: str, admissions: Sequence[Operation], caller: str = ""
    ) -> list[Answer | AdmissionError]:
        """Decide many `admit` operations in order, each by itself; a fault stands in its place.

        An operation that waits for room belongs into a call of its own.
        """
        return await self._submit_batch(zone, admissions, self._build_decision, caller)

    async def _submit_batch(
        self, zone: str, ops: Sequence[Operation], build: BuildAnswer, caller: str
    ) -> list[Answer | AdmissionError]:
        parts = list(operations.split_by_units(ops))
        futures = self._group.submit_parts(zone, parts, caller)
        # Each part by itself, as it comes: other requests are answered in between.
        answered = await asyncio.gather(
            *(
                _build_answers(zone, part, future, build)
                for (part, _), future in zip(parts, futures, strict=True)
            )
        )
        return [answer for answers in answered for answer in answers]

    def _build_decision(
        self, zone: str, operation: Operation, found: Any
    ) -> Answer | AdmissionError:
        now, result = found
        if isinstance(result, PlainGrant):
            return results.build_plain_grant(zone, operation, now, result)
        if "error" in result:
            return self._translate_fault(zone, "admit", result)
        return results.build_jittered_decision(zone, operation, now, result)

    async def withdraw(self, zone: str, op: Operation) -> str | None:
        """Take back what an `admit` was granted, and its queue entry: no client gets its answer.

        lua/commands/wait.lua has the rule.

        Returns:
            The group of waiters that it left, if it waited.
        """
        _, result = await self._perform(zone, {"op": "withdraw", **op})
        group: str | None = result.get("group")
        return group

    async def send_heartbeat(self, zone: str, replica: str) -> None:
        """Keep the queue entries of this replica alive."""
        await self._perform(zone, {"op": "beat", "replica": replica})

    async def report(self, zone: str, op: Operation, caller: str = "") -> Answer:
        """Apply a report: `op["op"]` is launched, renew or end; the id is the public one."""
        now, result = await self._perform(zone, _make_private(op), caller=caller)
        return results.build_report(zone, now, result)

    async def report_batch(
        self, zone: str, reports: Sequence[Operation], caller: str = ""
    ) -> list[Answer | AdmissionError]:
        """Apply reports in order, each by itself; a fault stands in its place."""
        ops = [operations.drop_nulls(_make_private(op)) for op in reports]
        return await self._submit_batch(zone, ops, self._build_report, caller)

    def _build_report(self, zone: str, op: Operation, found: Any) -> Answer | AdmissionError:
        now, result = found
        if "error" in result:
            return self._translate_fault(zone, op["op"], result)
        return results.build_report(zone, now, result)

    async def ingest(
        self, zone: str, t0: int, snapshot: Snapshot, token: int | None = None
    ) -> IngestAnswer:
        """Ingest a snapshot.

        Args:
            t0: zone time in ms, read before the platform was queried.
            token: of the poller's lease; None for a pushed snapshot.
        """
        parts = operations.split_groups(snapshot)
        if len(parts) > 1:
            return results.join_ingests([await self.ingest(zone, t0, one, token) for one in parts])
        groups = operations.build_groups(snapshot)
        op: dict[str, Any] = {"op": "ingest", "t0": t0, "token": token, "groups": groups}
        op |= {} if snapshot.counted_at is None else {"counted_at": snapshot.counted_at}
        now, result = await self._perform(zone, op | {"absent": list(snapshot.absent)})
        await self._learn(zone, result.get("observations") or {})
        return results.read_ingest(now, result)

    async def _learn(self, zone: str, observations: dict[str, Any]) -> None:
        """Learn ceilings from a snapshot; a failure costs what this snapshot would have taught."""
        op = learning.build_learn(observations)
        if op is None:
            return
        try:
            await self._perform(zone, op)
        except AdmissionError as error:
            log.warning("zone %s: a learned ceiling was not stored: %s", zone, error)

    async def get_time(self, zone: str) -> int:
        """Zone time in ms."""
        now, _ = await self._perform(zone, {"op": "time"})
        return now

    async def acquire_lease(self, zone: str, holder: str, ttl_ms: int) -> Lease:
        """Take or renew the right to poll the zone's platform."""
        op = {"op": "lease", "holder": holder, "ttl_ms": ttl_ms}
        now, result = await self._perform(zone, op)
        return results.read_lease(now, result)

    async def release_lease(self, zone: str, holder: str) -> None:
        """Give the lease up, so that another replica polls at once."""
        await self._perform(zone, {"op": "lease", "holder": holder, "ttl_ms": 0, "release": True})

    async def get_reservation(
        self, zone: str, public_id: str, scope: Sequence[str] | None
    ) -> Answer:
        """One reservation: its times, pools, state."""
        op = {"op": "get", "id": results.parse_private_id(public_id), "scope": scope}
        now, result = await self._perform(zone, op)
        return results.build_reservation(zone, result, now=now)

    async def list_reservations(
        self, zone: str, *, cursor: str = "0", limit: int = 100, **filters: Any
    ) -> Answer:
        """A page of reservations; filters: state, campaign, owner, scope."""
        op = {"op": "list", "cursor": cursor, "limit": limit, **filters}
        now, result = await self._perform(zone, op)
        return results.build_page(zone, now, result)

    async def get_status(self, zone: str) -> Answer:
        """Everything of a zone: pools, recovery, counters, the lease.

        Pools are read in slices, each in a call of its own, so that a zone with many of them
        delays its other calls by the time of a slice only.
        """
        now, result = await self._perform(zone, {"op": "status"})
        pools, cursor = result["pools"], result.pop("cursor", None)
        while cursor:
            _, following = await self._perform(zone, {"op": "status", "cursor": cursor})
            pools, cursor = [*pools, *following["pools"]], following.get("cursor")
        return results.build_status(zone, now, result | {"pools": pools})

    async def set_paused(
        self, zone: str, pool: str | None, on: bool, by: str | None = None
    ) -> Answer:
        """Stop grants (`on`) or resume them; of one pool (`mpp:mpp1`: a whole MPP), or of all.

        Args:
            by: the actor, for the audit; None: not audited.

        Raises:
            NotFound: no such pool. Conflict: too many pools are paused.
        """
        now, result = await self._change(zone, {"op": "pause", "pool": pool, "on": on, "by": by})
        return results.build_pause(zone, now, result)

    async def set_limit(self, zone: str, limit: TemporaryLimit) -> Answer:
        """Limit a pool for a while.

        Raises:
            NotFound: no such pool. Forbidden: beyond the scope.
        """
        now, result = await self._perform(zone, {"op": "limit", **asdict(limit)})
        return results.build_limit(zone, now, result)

    async def clear_aside(self, zone: str, by: str | None = None) -> Answer:
        """Delete what could not be read and was set aside. `by`: the actor, for the audit."""
        now, result = await self._perform(zone, {"op": "aside_clear", "by": by})
        return {"zone": zone, "now": now, "cleared": result["cleared"]}

    async def list_audit_entries(self, zone: str, limit: int, before: str | None = None) -> Answer:
        """Changes by operators, newest first; `before`: the id of an entry, only older ones."""
        now, result = await self._perform(zone, {"op": "audit", "limit": limit, "before": before})
        return results.build_audit(zone, now, result)

    async def get_keys(self, zone: str, *, refresh: bool = False) -> SigningKeys:
        """The keys that sign the zone's `report_url`s and ids; stored with its first policy.

        Args:
            refresh: read them from Redis, because another replica may have made its own after a
                loss of both, or an operator may have replaced them.
        """
        cached = self._policies.newest(zone)
        if cached is None or not cached.secret or refresh:
            _, result = await self._perform(
                zone, {"op": "secret", "offer": operations.make_secret()}
            )
            read = results.read_secrets(result)
            self._policies.keep_secrets(zone, read)
        else:
            read = cached.secrets
        return read.at(self._now.get(zone, 0), signs_ids=zone not in self._has_older_version)

    async def rotate_keys(self, zone: str, keep_ms: int, by: str | None = None) -> Answer:
        """Sign with a new key; signatures of earlier ones are accepted for `keep_ms` more.

        Args:
            by: the actor, for the audit; None: not audited.
        """
        op = {"op": "rotate", "offer": operations.make_secret(), "keep_ms": keep_ms, "by": by}
        now, result = await self._change(zone, op)
        return {"zone": zone, "now": now, **result}

    async def get_policy(self, zone: str) -> StoredPolicy:
        """The live policy."""
        _, result = await self._perform(zone, {"op": "policy_get"})
        return results.read_policy(result)

    async def store_policy(
        self,
        zone: str,
        policy: StoredPolicy,
        mode: str,
        expected: int | None = None,
        by: str | None = None,
    ) -> tuple[int, bool]:
        """Replace the zone's policy.

        Args:
            mode: `file`, `apply`, `put` or `restore` (lua/commands/policy.lua).
            expected: for `put`: the version that it replaces.
            by: the actor, for the audit; None: not audited.

        Returns:
            The live version, and whether this call changed it.

        Raises:
            Conflict: the live version is another.
        """
        op = operations.build_policy(policy, mode) | {"expected": expected, "by": by}
        _, result = await self._change(zone, op)
        return int(result["version"]), bool(result["applied"])

    async def close(self) -> None:
        """Wait for the calls under way."""
        await self._policies.close()
        await self._group.close()
        await self._calls.close()

    async def _change(self, zone: str, op: Operation) -> tuple[int, Any]:
        """Change state that Redis may lose; cache the new version before the answer."""
        tries = AsyncRetrying(
            retry=retry_if_exception_type(PolicyLost),
            stop=stop_after_attempt(CHANGE_TRIES),
            reraise=True,
        )
        async for one in tries:
            with one:
                known = self._policies.version(zone) or None
                now, result = await self._perform(zone, op | {"known": known})
        await self._policies.learn(zone, result["version"])
        return now, result

    async def _perform(
        self, zone: str, op: Operation, units: int = 1, caller: str = ""
    ) -> tuple[int, Any]:
        now, result = await self._group.submit(zone, operations.drop_nulls(op), units, caller)
        if "error" in result:
            raise self._translate_fault(zone, op["op"], result)
        return now, result

    @staticmethod
    def _translate_fault(zone: str, verb: str, result: dict[str, Any]) -> AdmissionError:
        if result["error"] == "internal":
            log.error("ledger %s: %s failed: %s", zone, verb, result.get("value"))
        return script_errors.translate_result(zone, result)

    async def _send(
        self, zone: str, ops: list[Operation], waited_s: float
    ) -> list[tuple[int, Any]]:
        self._calls.check(zone)
        reply = await self._calls.apply(zone, ops, waited_s)
        cached = self._policies.newest(zone)
        if reply.get("error") == "no_policy" and cached:
            await self._restore(zone, cached)
            reply = await self._calls.apply(zone, ops)
        if "error" in reply:
            raise script_errors.translate_reply(zone, reply["error"], str(reply.get("value", "")))
        if cached and reply["policy"] < cached.version:
            await self._restore(zone, cached)
        else:
            self._policies.saw(zone, reply["policy"])
        now = self._now[zone] = reply["now"]
        note = (
            self._has_older_version.add
            if "older_version" in reply
            else self._has_older_version.discard
        )
        note(zone)
        return [(now, result) for result in iterate_results(reply)]

    async def _restore(self, zone: str, cached: StoredPolicy) -> None:
        """Bring the policy back: Redis lost it, or has an older version than this replica saw."""
        log.warning("zone %s: policy version %d restored", zone, cached.version)
        await self._calls.apply(zone, [operations.drop_nulls(operations.build_restore(cached))])


def _make_private(op: Operation) -> Operation:
    return op | {"id": results.parse_private_id(op["id"])}


async def _build_answers(
    zone: str, part: Sequence[Operation], future: asyncio.Future[list[Any]], build: BuildAnswer
) -> list[Answer | AdmissionError]:
    try:
        found = await future
    except AdmissionError as fault:
        return [fault] * len(part)
    except Exception:  # logged by the group commit; the grants of the other parts stand
        return [AdmissionError("the ledger failed")] * len(part)
    return [build(zone, operation, one) for operation, one in zip(part, found, strict=True)]

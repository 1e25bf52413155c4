"""The pollers of two replicas: lease, snapshot, ingest; each of it slow, late or lost."""

from random import Random
from typing import Any, Final

from admission.sim.experience_portal.virtual_time import Loop
from tests.support.simulation.controller import Controller, Op, ignore
from tests.support.simulation.foreign_calls import Growth
from tests.support.simulation.network import Network
from tests.support.simulation.parameters import ZONE, Parameters

HOLDERS: Final = ("replica1", "replica2")
WRONG_COUNTS: Final = (-1, 2**32 - 1, 10**6)


class Poller:
    """Asks the ledger for the time, takes a snapshot of the platform, and ingests it.

    Args:
        network: between the pollers and Redis.
        growth: when a foreign call last took a port: the promise excludes older snapshots.
        unreliable: probability that the platform gives no answer, or wrong counts.
    """

    def __init__(
        self,
        loop: Loop,
        random: Random,
        controller: Controller,
        network: Network,
        growth: Growth,
        parameters: Parameters,
        *,
        unreliable: float,
    ) -> None:
        self._loop = loop
        self._random = random
        self._controller = controller
        self._network = network
        self._growth = growth
        self._parameters = parameters
        self._unreliable = unreliable
        self._holder = HOLDERS[0]

    def tick(self) -> None:
        """Poll now, and again after the interval."""
        self._loop.after(self._interval_ms(), self.tick)
        if self._random.random() < 0.01:  # the other replica tries
            self._holder = self._random.choice(HOLDERS)
        op = {"op": "lease", "holder": self._holder, "ttl_ms": self._parameters.poll_ms * 4}
        self._network.carry(self._controller.receive, op, self._leased_answer)

    def _interval_ms(self) -> int:
        return self._parameters.poll_ms

    def _leased_answer(self, result: dict[str, Any], now: int) -> None:
        self._network.carry(self._leased, result, now)

    def _leased(self, result: dict[str, Any], t0: int) -> None:
        if not result["mine"]:
            return
        query_ms = self._random.randint(0, self._parameters.query_ms)
        snapshot_ms = self._random.randint(0, query_ms)
        self._loop.after(
            snapshot_ms, self._take_snapshot, t0, result["token"], query_ms - snapshot_ms
        )

    def _take_snapshot(self, t0: int, token: int, rest_ms: int) -> None:
        groups = self._groups()
        if self._random.random() < self._unreliable:
            return
        op = {"op": "ingest", "t0": t0, "token": token, "groups": groups}
        self._loop.after(rest_ms, self._network.carry, self._ingest, op, self._loop.now)

    def _groups(self) -> list[dict[str, Any]]:
        """Return the counts of the platform now, or wrong ones."""
        counts = self._loop.platform().query(ZONE)
        seen = {"sip": counts.unused_sip, "h323": counts.unused_h323}
        unused = {f"channel:{c}": seen[c] for c in self._parameters.channels}
        if self._random.random() < self._unreliable:
            unused["channel:sip"] = self._random.choice(WRONG_COUNTS)
        return [{"total": counts.total, "unused": unused}]

    def _ingest(self, op: Op, taken_at: int) -> None:
        earliest = taken_at - self._parameters.lag_ms
        if self._growth.is_since(earliest):
            return  # the promise excludes this snapshot: it is lost
        self._controller.receive(op, ignore, lambda: not self._growth.is_since(earliest))

"""The scenarios of `benchmarks/worlds` on the real script, in virtual time."""

from collections.abc import Callable
from itertools import count
from typing import Any

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import parse_policy
from admission.ledger import learning
from benchmarks.worlds.world import QUERY_S, World
from tests.support.virtual_zone import VirtualZone

CHANNELS = ("sip", "h323")
BEFORE_MS = 5_000  # the recovery of the new zone is over when the scenario begins
_names = count()


class ScriptController:
    """Decides by the script, and learns as a replica does: a contestant of a scenario.

    Args:
        client: answers are bytes.
        run: reports and snapshots come from it.
        policy: fields on top of the defaults of a zone.

    Attributes:
        snapshots, distrusted: ingested, and those after which a doubt held (other than `cold`).
        in_force: what the newest snapshot taught is trusted.
    """

    def __init__(self, client: redis.Redis, run: World, policy: dict[str, Any]) -> None:
        self._run = run
        self._channels = CHANNELS[: len(run.channels)]
        self._policy = {"source": "push", "channels": self._channels, "campaigns": {"*": {}}}
        self._policy |= {"answer_within_ms": round(1000 * run.scenario.expiry_s)} | policy
        self.zone = VirtualZone(client, self._compile(), name=f"scenario{next(_names)}")
        self._begin_us = self.zone.now_us + 1000 * BEFORE_MS
        self._ids: dict[int, str] = {}
        self._asked = 0
        self._granted = ""
        self.snapshots = self.distrusted = 0
        self.in_force = True

    def _compile(self) -> dict[str, Any]:
        return compile_policy(parse_policy(self._policy))

    def change_policy(self, now: float, **policy: Any) -> None:
        """Replace fields of the policy with calls up."""
        self._at(now)
        self._policy |= policy
        self.zone.replace_policy(self._compile())

    def _at(self, now: float) -> None:
        self.zone.now_us = self._begin_us + round(1_000_000 * now)

    def _ms(self, now: float) -> int:
        return (self._begin_us + round(1_000_000 * now)) // 1000

    def allows(self, now: float, channel: int) -> bool:
        self._at(now)
        self._asked += 1
        op = {"op": "admit", "id": f"{self._asked:011d}", "request_id": f"r{self._asked}"}
        op |= {"campaign": "a", "channel": self._channels[channel], "body": "b", "owner": "o"}
        answer = self.zone.one(op, count=1, min_count=1)
        self._granted = str(op["id"])
        return bool(answer["decision"] == "grant")

    def granted(self, now: float, call: int, channel: int) -> None:
        self._ids[call] = self._granted

    def launched(self, now: float, call: int) -> None:
        self._report(now, "launched", call)

    def port_taken(self, now: float, call: int) -> None:
        self._report(now, "launched", call, port_taken=True)

    def ended(self, now: float, call: int, failed: bool, at: float) -> None:
        outcome = "no_resource" if failed else "completed"
        self._report(now, "end", call, outcome=outcome, ended_at=self._ms(at))

    def _report(self, now: float, op: str, call: int, **fields: Any) -> None:
        self._at(now)
        self.zone.one(op, id=self._ids[call], **fields)

    def dropped(self, now: float, call: int) -> None:
        """Reservations without a report expire by themselves."""

    def snapshot(self, now: float, total: int, unused: list[int], counted_at: float | None) -> None:
        self._at(now)
        counts = {
            f"channel:{channel}": n for channel, n in zip(self._channels, unused, strict=True)
        }
        t0 = self._ms(now - QUERY_S)
        stated = {} if counted_at is None else {"counted_at": self._ms(counted_at)}
        groups = [{"total": total, "unused": counts}]
        answer = self.zone.one("ingest", t0=t0, groups=groups, **stated)
        op = learning.build_learn(answer.get("observations") or {})
        if op:
            assert not self.zone.one(op)["refused"]
            found = [set(one["doubts"]) - {"cold"} for one in op["pools"].values()]
            self.distrusted += any(found)
            self.in_force = not any(one["doubts"] for one in op["pools"].values())
        self.snapshots += 1

    def lose_state(self) -> None:
        """Redis restarts empty while the service is gone."""
        self._at(self._run.now)
        self.zone.lose_state(self._compile())

    def count(self, name: str) -> int:
        """A counter of the zone's status."""
        return int(self.zone.one("status")["stats"].get(name, 0))


def on_script(client: redis.Redis, **policy: Any) -> Callable[[World], ScriptController]:
    """A contestant for `World`: the script with that policy."""
    return lambda run: ScriptController(client, run, policy)

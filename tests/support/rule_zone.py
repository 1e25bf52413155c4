"""A zone for tests of single rules: short policies, oracle or script, a clock of its own."""

from collections.abc import Callable
from typing import Any

import redis

from admission.ledger.keys import zone_keys
from admission.ledger.store.connection import Script
from tests.oracle import OracleLedger
from tests.support.script_call import call_at

Answer = dict[str, Any]
LAUNCH_MS, CLAIM_MS, LAG_MS, NOTICE_MS = 1000, 2000, 500, 200
VISIBLE_MS = LAUNCH_MS + CLAIM_MS
MAX_AGE_MS, ANSWER_MS, CALL_MS, RETENTION_MS = 10_000, 150_000, 600_000, 120_000
POLL_MS = 1000


def policy(zone: dict[str, Any] | None = None, **fields: dict[str, Any]) -> dict[str, Any]:
    """A compiled policy with the defaults of a zone; `__` stands for `:` in names."""
    defaults = {
        "launch_within": LAUNCH_MS,
        "claim_within": CLAIM_MS,
        "claim_max": VISIBLE_MS,
        "visibility_lag": LAG_MS,
        "end_notice": NOTICE_MS,
        "release_within": 0,
        "poll_min": 20,
        "poll_interval": POLL_MS,
        "max_age": MAX_AGE_MS,
        "answer_within": ANSWER_MS,
        "max_call": CALL_MS,
        "retention": RETENTION_MS,
        "channels": ["sip", "h323"],
        "any": ["h323", "sip"],
        "fed": ["sip", "h323"],
        "mpps": [],
        "mpp_total": 0,
        "priority_reserve": {},
        "placement": "platform",
        "capacity": {},
        "takes": {},
        "headroom": 0,
        "headroom_percent": 0,
        "growth_per_s": 0,
        "dedicated": False,
        "source": "test",
        "shadow": False,
        "guarantee_total": 0,
        "rate_per_s": 0,
        "burst": 0,
    }
    named = {name.replace("__", ":"): rules for name, rules in fields.items()}
    return {"zone": defaults | (zone or {}), "campaign:*": {}} | named


class ScriptLedger:
    """The script on a real server, called as the oracle is.

    Args:
        client: an emptied server.
        fields: the compiled policy.
        script: with the clock of the tests.
    """

    def __init__(self, client: redis.Redis, fields: dict[str, Any], script: Script) -> None:
        self.client = client
        self.script = script
        self.keys = zone_keys("rules", "east")
        client.flushall()
        self.first = [
            {"op": "policy", "mode": "apply", "digest": "d", "source": "", "fields": fields}
        ]

    def call(self, ops: list[Answer], raw_ms: int, run_id: str) -> Answer:
        """Apply operations in order, in one script call."""
        ops, self.first, self.called_at = [*self.first, *ops], [], (raw_ms, run_id)
        clock_us = raw_ms * 1000
        answer = call_at(self.client, self.script.source, self.keys, ops, clock_us, run_id)
        for one in answer["results"]:
            if "reservations" in one:  # an empty list of Lua is an empty map; nothing is left out
                one["reservations"] = [{"mpp": None} | each for each in one["reservations"]]
        return answer

    def lose_all(self) -> None:
        """Delete everything. The next call restores the policy, as a replica does."""
        remembered = self.call([{"op": "policy_get"}], *self.called_at)["results"][0]
        self.client.flushall()
        names = ("version", "digest", "source", "fields")
        restored = {name: remembered[name] for name in names}
        self.first = [{"op": "policy", "mode": "restore"} | restored]


class RuleZone:
    """One zone in the hands of a test: its clock moves only when the test moves it.

    `backend` makes the ledger of a compiled policy: the oracle, or the script (conftest.py).
    """

    backend: Callable[[dict[str, Any]], OracleLedger | ScriptLedger] = OracleLedger

    def __init__(self, fields: dict[str, Any] | None = None) -> None:
        self.ledger = self.backend(fields or policy())
        self.raw_ms = 1_000_000
        self.run_id = "first"
        self.asked = 0
        self.policies = 0
        self.now = 0
        self.call({"op": "time"})

    def call(self, *ops: Answer) -> Answer:
        """Apply operations; the answer of the last."""
        answer = self.ledger.call(list(ops), self.raw_ms, self.run_id)
        self.now = answer["now"]
        return dict(answer["results"][-1])

    def replace(self, fields: dict[str, Any]) -> "RuleZone":
        """Another policy from here on."""
        self.policies += 1
        op = {"op": "policy", "mode": "apply", "digest": f"d{self.policies}", "source": ""}
        assert self.call(op | {"fields": fields})["applied"]
        return self

    def lose_all(self) -> "RuleZone":
        """Delete everything on the server; a replica restores the policy."""
        self.run_id += "'"
        self.ledger.lose_all()
        self.call({"op": "time"})
        return self

    def wait(self, ms: int) -> "RuleZone":
        """Let time pass in steps that are too short to count as a loss of state."""
        while ms > 0:
            step = min(ms, 5000)
            self.raw_ms += step
            ms -= step
            self.call({"op": "time"})
        return self

    def ready(self, **unused: int) -> "RuleZone":
        """Past recovery, with a snapshot of 10 ports."""
        self.wait(VISIBLE_MS + LAG_MS + 1)
        return self.snapshot(**(unused or {"sip": 10, "h323": 0}))

    def snapshot(self, total: int = 10, **unused: int) -> "RuleZone":
        """Ingest a snapshot of the channels that is taken now."""
        counts = {f"channel:{name}": n for name, n in unused.items()}
        answer = self.ingest(total, counts)
        assert answer["accepted"], answer
        return self

    def ingest(self, total: Any, unused: dict[str, Any], **changes: Any) -> Answer:
        op = {"op": "ingest", "t0": self.now, "groups": [{"total": total, "unused": unused}]}
        return self.call(op | changes)

    def build_ask(self, **changes: Any) -> dict[str, Any]:
        """The operation of a new request."""
        self.asked += 1
        op = {"op": "admit", "id": f"{self.asked:011d}", "request_id": f"r{self.asked}"}
        body = {"campaign": "a", "channel": "sip", "count": 1, "min_count": 1, "body": "b"}
        return op | body | changes

    def ask(self, **changes: Any) -> Answer:
        return self.call(self.build_ask(**changes))

    def grant(self, **changes: Any) -> str:
        """Ask for one call that must be granted; answers its id."""
        answer = self.ask(**changes)
        assert answer["decision"] == "grant", answer
        return str(answer["reservations"][0]["id"])

    def end(self, id_: str, outcome: str = "completed", **changes: Any) -> Answer:
        return self.call({"op": "end", "id": id_, "outcome": outcome} | changes)

    def launched(self, id_: str, **changes: Any) -> Answer:
        return self.call({"op": "launched", "id": id_} | changes)

    def renew(self, id_: str, **changes: Any) -> Answer:
        return self.call({"op": "renew", "id": id_} | changes)

    def pool(self, name: str = "channel:sip") -> Answer:
        pools = self.call({"op": "status"})["pools"]
        return next((one for one in pools if one["pool"] == name), {"in_use": 0})

    def numbers(self, name: str = "channel:sip") -> tuple[int, int]:
        """Ceiling and in_use of a pool."""
        pool = self.pool(name)
        return pool["ceiling"], pool["in_use"]

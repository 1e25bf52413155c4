"""Zones in a separate Redis server, whose script is called directly."""

import json
import secrets
import time
from collections.abc import Iterable
from typing import Any

import redis

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, parse_policy, policy_json
from admission.ledger import results, scripts
from admission.ledger.keys import zone_keys

PORTS = 1_000_000
POLICY: dict[str, Any] = {
    "source": "push",
    "channels": ["sip"],
    "launch_within_ms": 500,
    "claim_within_ms": 500,
    "visibility_lag_ms": 100,
    "max_age_ms": 100_000,
    "retention_ms": 1000,
    "rate_per_s": 100_000,
    "burst": 100_000,
    "mpps": {"mpp1": {"sip": PORTS}},
    "campaigns": {"*": {"limit": PORTS, "rate_per_s": 100_000, "burst": 100_000}},
    "pools": {"trunk:*": {"limit": PORTS}},
}
Op = dict[str, Any]
# An append-only file as the embedded server has; without rewrites, which would come in the middle.
STORE = {"appendonly": "yes", "auto_aof_rewrite_percentage": "0"}


class Zone:
    """One zone, ready to grant.

    Args:
        campaigns: number of campaigns in the policy.
        pools: number of named pools that every call holds.
    """

    def __init__(
        self, client: redis.Redis, name: str, *, campaigns: int = 1, pools: int = 1
    ) -> None:
        self.client = client
        self.name = name
        self.keys = zone_keys("adm", name)
        self._script = scripts.load()
        trunks = [f"trunk:t{n}" for n in range(pools)]
        rules = POLICY["campaigns"]["*"] | {"pools": trunks}
        self._campaigns = [f"c{n}" for n in range(campaigns)]
        policy = parse_policy(POLICY | {"campaigns": dict.fromkeys(self._campaigns, rules)})
        stored = {"digest": digest(policy), "source": policy_json(policy)}
        op = {"op": "policy", "mode": "apply", "fields": compile_policy(policy)}
        self.client.eval(self._script.source, len(self.keys), *self._arguments([op | stored]))

    def call(self, ops: Iterable[Op]) -> Any:
        """Apply operations, and return the results."""
        ops = list(ops)
        text = self.client.evalsha(self._script.sha, len(self.keys), *self._arguments(ops))
        answer = results.expand_reply(ops, text)
        assert "error" not in answer, answer
        return answer

    def _arguments(self, ops: Iterable[Op]) -> tuple[str | bytes, ...]:
        return (*self.keys, json.dumps(list(ops), separators=(",", ":")), "bell")

    def ask(self, campaign: int = 0) -> Op:
        """Return an operation that requests one launch."""
        made = secrets.token_urlsafe(8)
        return {
            "op": "admit",
            "id": made,
            "request_id": f"r-{made}",
            "campaign": self._campaigns[campaign % len(self._campaigns)],
            "channel": "sip",
            "mpp": "mpp1",
            "owner": "dialer-1",
            "body": "0123456789a",
        }

    def admit(self, n: int, campaign: int = 0, *, mixed: bool = False) -> list[str]:
        """Grant n launches in one call, and return the ids.

        Args:
            campaign: number of the campaign.
            mixed: a different campaign for each launch.
        """
        answer = self.call([self.ask(campaign + (i if mixed else 0)) for i in range(n)])
        return [one["id"] for result in answer["results"] for one in result["reservations"]]

    def end(self, ids: Iterable[str]) -> None:
        """End reservations in one call."""
        self.call([{"op": "end", "id": one, "outcome": "not_launched"} for one in ids])

    def take_snapshot(self, unused: int = PORTS) -> None:
        """Ingest a snapshot taken now."""
        now = self.call([{"op": "time"}])["now"]
        group = {"total": PORTS, "unused": {"channel:sip": unused}}
        reply = self.call([{"op": "ingest", "t0": now, "groups": [group]}])
        assert reply["results"][0]["accepted"], reply


def recover(zones: Iterable[Zone]) -> None:
    """Wait until new zones have recovered, and give each its first snapshot."""
    time.sleep(
        sum(POLICY[n] for n in ("launch_within_ms", "claim_within_ms", "visibility_lag_ms")) / 1000
        + 0.2
    )
    for zone in zones:
        zone.take_snapshot()


def script_us(client: redis.Redis) -> float:
    """Time in us that scripts took since the server started or was reset."""
    return float(client.info("commandstats").get("cmdstat_evalsha", {"usec": 0})["usec"])

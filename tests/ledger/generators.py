"""What the random machine draws: policies, operations, steps of the clock."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Op = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
OUTCOMES = [
    "completed",
    "no_answer",
    "busy",
    "abandoned",
    "bad_number",
    "failed",
    "no_resource",
    "not_launched",
    "unknown",
]
LAG_MS, LAUNCH_MS, CLAIM_MS, SLOW_CLAIM_MS, MAX_AGE_MS = 50, 100, 200, 300, 2000
EDGES_MS = [0, 1, 49, 50, 51, 100, 299, 300, 301, 500, 501, 1000, MAX_AGE_MS, 5000, -1, -700]
time_steps = st.one_of(st.integers(0, 300), st.integers(0, 300), st.sampled_from(EDGES_MS))


@st.composite
def policies(draw: Draw) -> dict[str, dict[str, Any]]:
    """A compiled policy: one platform of two channels, maybe with MPPs."""
    mpps = draw(st.sampled_from([[], ["m1"], ["m1", "m2"]]))
    fields: dict[str, dict[str, Any]] = {
        "zone": draw(zones(mpps)),
        "campaign:a": draw(campaign_rules),
        "campaign:b": {"limit": 2, "pools": ["trunk:x"]},
        "trunk:x": draw(st.sampled_from([{}, {"limit": 3}, {"limit": 2, "max_call": 3500}])),
        "agent:*": draw(st.sampled_from([{}, {"limit": 1}, {"needs_snapshot": True}])),
        "application:one": {"mpps": mpps[:1], "claim_within": SLOW_CLAIM_MS},
        "application:all": {"mpps": mpps[::-1]},
    }
    if draw(st.booleans()):
        fields["campaign:*"] = {"pools": []}
    for mpp in mpps:
        fields[f"mpp:{mpp}:sip"] = {"limit": 3}
    if mpps:
        fields["mpp:m1:h323"] = {"limit": 2}
    fields["zone"]["mpp_total"] = 3 * len(mpps) + (2 if mpps else 0)
    return fields


campaign_rules = st.fixed_dictionaries(
    {"pools": st.just([])},
    optional={
        "limit": st.integers(0, 4),
        "limit_unset": st.integers(0, 3),
        "allowed": st.sampled_from([["trunk:x"], ["agent:*"], []]),
        "answer_within": st.sampled_from([3000, 6000]),
        "max_call": st.sampled_from([3000, 6000]),
    },
)


@st.composite
def zones(draw: Draw, mpps: list[str]) -> dict[str, Any]:
    """The zone part of a policy."""
    return {
        "launch_within": LAUNCH_MS,
        "claim_within": CLAIM_MS,
        "claim_max": LAUNCH_MS + SLOW_CLAIM_MS,
        "visibility_lag": LAG_MS,
        "end_notice": draw(st.sampled_from([0, 20])),
        "release_within": draw(st.sampled_from([0, 0, 150])),
        "poll_min": 20,
        "poll_interval": 100,
        "max_age": MAX_AGE_MS,
        "answer_within": 4000,
        "max_call": 5000,
        "retention": draw(st.sampled_from([300, 3000])),
        "channels": ["sip", "h323"],
        "any": ["h323", "sip"],
        "priority_reserve": {},
        "fed": draw(st.sampled_from([["sip", "h323"], ["sip", "h323"], ["sip"], ["sip"], []])),
        "takes": draw(st.sampled_from([{}, {"sip": ["sip", "h323"]}])),
        "capacity": draw(st.sampled_from([{}, {"sip": 6}, {"sip": 4, "h323": 3}])),
        "headroom": draw(st.sampled_from([0, 0, 0, 1])),
        "adaptive": draw(st.sampled_from([0, 0, 1])),
        "adaptive_percent": draw(st.sampled_from([0, 0, 40])),
        "headroom_percent": draw(st.sampled_from([0, 0, 0, 30])),
        "growth_per_s": draw(st.sampled_from([0, 0, 1.5])),
        "dedicated": draw(st.booleans()),
        "ceilings": draw(st.sampled_from(["proved", "learned", "learned"])),
        "placement": draw(st.sampled_from(["platform", "controller"])),
        "mpps": mpps,
        **draw(st.sampled_from([{}, {}, {}, {"max_records": 12}])),
        **draw(st.sampled_from([{}, {}, {}, {"polled": True, "pushed": True}])),
    }


pool_lists = st.sampled_from(
    [[], [], [], ["trunk:x"], ["trunk:x"], ["agent:1"], ["agent:1", "trunk:x"], ["agent:1", "x:y"]]
)
nonsense = st.sampled_from([0, 1, 3, 5, -1, 2**31, 4294967295, 1.5])
UNKNOWN_IDS = ["99999999998", "99999999999"]
MPP_GROUPS = {"m1": ("mpp:m1:h323", "mpp:m1:sip"), "m2": ("mpp:m2:sip",)}
GROUPS = [
    ("channel:sip",),
    ("channel:h323",),
    ("channel:h323", "channel:sip"),
    ("trunk:x",),
    ("agent:1",),
    ("agent:2",),
    ("trunk:nowhere",),
]

# Of an estimator: none of them may be stored.
ODD_RESULTS = st.sampled_from(
    [
        *({"t0": 5}, {"after": 5}, {"ceilings": []}, {"ceilings": [-1]}, {"pending": 0.5}),
        *({"step_ms": 0}, {"valid_until": -1}, {"burst_limit": 2**31}, {"drops": -1}),
    ]
)


def seldom(draw: Draw, value: Any) -> Any:
    """A value once in a while, else None."""
    return value if draw(st.integers(0, 15)) == 15 else None


class Draws:
    """Draws operations that have to do with what was granted and ingested before."""

    longest_ms = 7000

    def __init__(self, policy: dict[str, dict[str, Any]]) -> None:
        self.policy = policy
        self.mpps: list[str] = policy["zone"]["mpps"]
        mpp_groups = [MPP_GROUPS[mpp] for mpp in self.mpps]
        self.groups = [*GROUPS, *mpp_groups, *mpp_groups]
        self.ids: list[str] = []
        self.asks: list[Op] = []
        self.ingests: list[Op] = []
        self.observed: list[tuple[str, Op]] = []  # pool and observation, for the fake estimator
        self.asked = 0
        self.token = 0

    def learn(self, ops: list[Op], results: list[dict[str, Any]]) -> None:
        """Remember what later operations may repeat or refer to."""
        for op, result in zip(ops, results, strict=True):
            known = [one["id"] for one in result.get("reservations") or [] if "id" in one]
            self.ids += [id_ for id_ in known if id_ not in self.ids]
            if op["op"] == "admit":
                self.asks.append(op)
            if op["op"] == "ingest":
                self.ingests.append(op)
                self.observed += (result.get("observations") or {}).items()
            self.token = result.get("token") or self.token

    def anything(self, draw: Draw, now: int) -> Op:
        """Any operation."""
        kinds = [self.admit, self.plain_admit, self.report, self.end, self.sane_snapshot]
        kinds += [self.learned] if self.observed else []
        return dict(draw(st.sampled_from([*kinds, self.snapshot, self.other]))(draw, now))

    def plain_admit(self, draw: Draw, now: int) -> Op:
        """One new call of a good campaign."""
        self.asked += 1
        n = self.asked
        return {
            "op": "admit",
            "id": f"{n:011d}",
            "request_id": f"r{n}",
            "campaign": draw(st.sampled_from(["a", "b"])),
            "channel": draw(st.sampled_from(self.policy["zone"]["fed"] or ["sip", "any"])),
            "count": 1,
            "min_count": 1,
            "pools": [],
            "owner": "me",
            "body": "same",
        }

    def admit(self, draw: Draw, now: int) -> Op:
        """An ask of any kind: new, repeated, conflicting, nonsense."""
        if self.asks and draw(st.booleans()):
            again = draw(st.sampled_from(self.asks))
            same = {**again, "id": self.plain_admit(draw, now)["id"]}
            other: list[Op] = [{}, {}, {"body": "other"}, {"dry_run": True}, {"seen": now - 90}]
            return same | dict(draw(st.sampled_from(other)))
        count = draw(st.sampled_from([1, 1, 2, 3, 5]))
        changes: Op = {
            "campaign": seldom(draw, "c") or draw(st.sampled_from(["a", "a", "b"])),
            "channel": seldom(draw, "fax") or draw(st.sampled_from(["sip", "h323", "any"])),
            "count": count,
            "min_count": draw(st.integers(1, count)),
            "pools": draw(pool_lists),
            "application": seldom(draw, "none") or draw(st.sampled_from([None, "one", "all"])),
            "mpp": seldom(draw, "m9") or draw(st.sampled_from([None, None, *self.mpps])),
            "seen": draw(st.sampled_from([None, now, now - 40, now - 500])),
        }
        if draw(st.integers(0, 4)) == 0:
            changes |= {"dry_run": True, "explain": draw(st.booleans())}
        given = {k: v for k, v in changes.items() if v is not None}
        return self.plain_admit(draw, now) | given

    def end(self, draw: Draw, now: int) -> Op:
        """An end report."""
        op = {"op": "end", "id": self._id(draw), "outcome": draw(st.sampled_from(OUTCOMES))}
        ended_at = draw(st.sampled_from([None, now, now, now - 1, now - 30, now - 400, now + 9]))
        return self._scoped(draw, op if ended_at is None else op | {"ended_at": ended_at})

    def plain_end(self, draw: Draw, now: int) -> Op:
        """The end of a call that had a port, reported at once."""
        return {"op": "end", "id": self._id(draw), "outcome": "completed", "ended_at": now}

    def report(self, draw: Draw, now: int) -> Op:
        """A launched or renew report, maybe to be adopted."""
        op: Op = {"op": draw(st.sampled_from(["launched", "renew"])), "id": self._id(draw)}
        if op["op"] == "launched":
            op["port_taken"] = draw(st.booleans())
            optional = {
                "session": draw(st.sampled_from([None, "s1", "s2"])),
                "mpp": seldom(draw, "m9") or draw(st.sampled_from([None, *self.mpps])),
            }
            op |= {k: v for k, v in optional.items() if v is not None}
        if draw(st.integers(0, 2)) == 0:
            op["adopt"] = self._restated(draw)
            op |= seldom(draw, {"unproved": True}) or {}
        return self._scoped(draw, op)

    def sane_snapshot(self, draw: Draw, now: int) -> Op:
        """A snapshot of all fed channels that was just taken; of a named pool if there are none."""
        fed = self.policy["zone"]["fed"]
        if not fed:
            return {"op": "ingest", "t0": now, "groups": [{"total": 2, "unused": {"trunk:x": 1}}]}
        total = draw(st.sampled_from([6, 6, 6, 3, 8]))
        first = draw(st.integers(0, total))
        rest = draw(st.integers(0, total - first))
        unused = {f"channel:{name}": n for name, n in zip(fed, (first, rest), strict=False)}
        t0 = now - draw(st.sampled_from([0, 0, 1, 30]))
        op = {"op": "ingest", "t0": t0, "groups": [{"total": total, "unused": unused}]}
        if seldom(draw, True):
            op["counted_at"] = t0 - draw(st.sampled_from([0, 1, 700, 4000, -3]))
        return op

    def snapshot(self, draw: Draw, now: int) -> Op:
        """Any snapshot: late, repeated, nonsense, of an MPP or a named pool, absent."""
        if self.ingests and draw(st.booleans()):
            return dict(draw(st.sampled_from(self.ingests)))
        groups = draw(st.lists(st.sampled_from(self.groups), max_size=2, unique_by=min))
        t0 = now - draw(st.sampled_from([0, 1, 40, 60, 500, 3000, -5]))
        op: Op = {"op": "ingest", "t0": t0}
        op["groups"] = [
            {
                "total": draw(nonsense) if seldom(draw, True) else 6,
                "unused": {
                    pool: draw(nonsense if seldom(draw, True) else st.integers(0, 3))
                    for pool in group
                },
            }
            for group in groups
        ]
        named = {pool for group in groups for pool in group}
        absent = draw(st.sampled_from([None, ["channel:h323"], ["channel:sip", "trunk:x"]]))
        if absent and not named & set(absent):
            op["absent"] = absent
        if draw(st.integers(0, 5)) == 0:
            op["token"] = self.token + draw(st.sampled_from([0, 0, 1]))
        return op

    def learned(self, draw: Draw, now: int) -> Op:
        """What a fake estimator learned: anything, of a snapshot that was observed."""
        if not self.observed:
            return {"op": "learn", "pools": {}}
        pool, seen = draw(st.sampled_from([self.observed[-1], *self.observed[-4:]]))
        given = {name: seen[name] for name in ("t0", "after", "failures", "drops")}
        counts = st.integers(0, 8)
        given |= {
            "state": draw(st.sampled_from(["one", "two"])),
            "step_ms": draw(st.sampled_from([1, 100, 1000])),
            "valid_until": now + draw(st.sampled_from([0, 200, 5000, 5000])),
            "pending": draw(counts),
            "burst_limit": draw(st.sampled_from([0, 0, 1, 3])),
            "doubts": draw(st.sampled_from([[], [], [], ["cold"], ["cold", "failing"]])),
            "ceilings": draw(st.lists(counts, min_size=1, max_size=3)),
        }
        if draw(st.booleans()):
            given["lifts_freeze_of"] = seen["frozen_at"]
        if seldom(draw, True):
            given |= draw(ODD_RESULTS)
        return {"op": "learn", "pools": {pool: given}}

    def other(self, draw: Draw, now: int) -> Op:
        """Leases and looks."""
        holder = draw(st.sampled_from(["one", "two"]))
        take = {"op": "lease", "holder": holder, "ttl_ms": draw(st.sampled_from([100, 1000]))}
        looks: list[Op] = [{"op": "time"}, {"op": "list", "cursor": "0", "limit": 1000}]
        look_at = self._scoped(draw, {"op": "get", "id": self._id(draw)})
        return dict(draw(st.sampled_from([take, take | {"release": True}, look_at, *looks])))

    def _id(self, draw: Draw) -> str:
        if not self.ids or seldom(draw, "unknown"):
            return str(draw(st.sampled_from(UNKNOWN_IDS)))
        return str(draw(st.sampled_from([*self.ids[-3:], *self.ids])))

    def _scoped(self, draw: Draw, op: Op) -> Op:
        scope = seldom(draw, ["a"]) or seldom(draw, ["b", "c"])
        return op | {"scope": scope} if scope else op

    def _restated(self, draw: Draw) -> Op:
        restated = {
            "campaign": seldom(draw, "c") or draw(st.sampled_from(["a", "a", "b"])),
            "channel": seldom(draw, "any") or draw(st.sampled_from(["sip", "h323"])),
            "mpp": seldom(draw, "m9") or draw(st.sampled_from([None, *self.mpps])),
            "pools": draw(pool_lists),
        }
        return {k: v for k, v in restated.items() if v is not None}

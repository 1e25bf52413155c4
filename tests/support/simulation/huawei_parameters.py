"""The parameters of a seed for a Huawei call centre: licences, agents, slower claims. In ms."""

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from admission.sim.huawei.values import AgentCountsAt, CenterSettings
from admission.sim.values import CallTiming, Delay
from tests.support.simulation.parameters import CLOCK_STEP_MS, SLOW_APPLICATION, Parameters
from tests.support.simulation.scenarios import Scenario

RING_MS: Final = 2_500  # Parameters.timing: no call rings longer


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterParameters(Parameters):
    """The parameters of a run.

    Args:
        licences: channel -> calls.
        agents: their ids.
        counts_at: when an agent's call counts; `answer` makes the time to claim longer by ringing.
        agents_poll_ms: between two rounds over the agents.
    """

    licences: dict[str, int]
    agents: tuple[int, ...]
    counts_at: AgentCountsAt
    agents_poll_ms: int

    def center(self) -> CenterSettings:
        """The platform. Foreign calls are made one by one, so it has no streams."""
        return CenterSettings(
            licences=self.licences,
            takes={"ivr": ("voice", "ivr")},
            agents=self.agents,
            agent_counts_at=self.counts_at,
            lag_ms=self.lag_ms,
        )

    def call_timing(self, claim_ms: int) -> CallTiming:
        """How a call goes that has all it needs so long after its launch, at the latest."""
        rings_ms = RING_MS if self.counts_at == "answer" else 0
        prepare_ms = max(0, claim_ms - rings_ms)
        timing = self.timing(prepare_ms)
        assert timing.ring_at_most_ms <= RING_MS
        assert timing.prepare == Delay(low_ms=prepare_ms, high_ms=prepare_ms)
        return timing


def _policy(random: Random, scenario: Scenario, rings_ms: int) -> dict[str, Any]:
    margin = 0 if scenario.clock == "steady" else CLOCK_STEP_MS
    claim, lag = random.randint(300, 2_500) + rings_ms + margin, random.randint(0, 700)
    launch, max_age = random.randint(100, 1_000), random.randint(3_000, 6_000)
    shortest = launch + claim * 2 + lag + margin + max_age + 1
    return {
        "sources": ["cms", "agents"],
        "source_zone": "1",
        "channels": ["voice", "ivr"],
        "call_takes": {"ivr": ["voice", "ivr"]},
        "launch_within_ms": launch,
        "claim_within_ms": claim,
        "visibility_lag_ms": lag + margin,
        "end_notice_ms": random.choice([0, 100, 400]) + margin,
        "release_within_ms": random.choice([0, 0, 200]),
        "poll_interval_ms": random.choice([1_000, 2_000]),
        "poll_min_ms": 200,
        "max_age_ms": max_age,
        "answer_within_ms": shortest + random.choice([0, 5_000]),
        "max_call_ms": shortest + random.choice([0, 10_000]),
        "retention_ms": random.randint(500, 5_000),
        "applications": {SLOW_APPLICATION: {"claim_within_ms": claim * 2}},
        "campaigns": {"*": {}, "c1": {"limit": random.randint(2, 9)}, "c2": {}},
        "pools": {"agent:*": {"limit": 1, "needs_snapshot": True}},
    }


def draw_center(scenario: Scenario, seed: int) -> CenterParameters:
    """The parameters of a seed: the same for ever."""
    random = Random(f"{seed} {scenario.name} parameters")
    counts_at: AgentCountsAt = random.choice(["claim", "claim", "answer"])
    policy = _policy(random, scenario, RING_MS if counts_at == "answer" else 0)
    margin = 0 if scenario.clock == "steady" else CLOCK_STEP_MS
    voice = random.choice([2, 3, 5, 8, 12])
    dialers = random.randint(2, 5)
    return CenterParameters(
        mpps={},
        dedicated=False,
        claim_ms=policy["claim_within_ms"] - margin,
        slow_claim_ms=policy["claim_within_ms"] * 2 - margin,
        lag_ms=policy["visibility_lag_ms"] - margin,
        end_notice_ms=policy["end_notice_ms"] - margin,
        release_ms=policy["release_within_ms"],
        query_ms=random.choice([5, 60, 400]),
        poll_ms=policy["poll_interval_ms"],
        talk_ms=random.choice([2_000, 6_000]),
        talk_max_ms=60_000,
        page_fails=random.choice([0, 0.1]),
        dialers=dialers,
        asks_ms=dialers * random.choice([300, 600]),
        campaigns=3,
        count_max=random.choice([1, 2, 4]),
        loss=random.choice([0.02, 0.1]) if scenario.rough else random.choice([0, 0.005]),
        double=random.choice([0.02, 0.1]) if scenario.rough else 0.005,
        slow=random.choice([0.02, 0.1]) if scenario.rough else 0.005,
        policy=policy,
        licences={"voice": voice, "ivr": max(1, voice - random.randint(0, 3))},
        agents=tuple(range(1001, 1001 + random.randint(1, 5))),
        counts_at=counts_at,
        agents_poll_ms=random.choice([700, 1_300]),
    )

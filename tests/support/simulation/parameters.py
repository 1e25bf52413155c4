"""The parameters of a seed: platform, policy, and behaviour of the dialers. Times in ms."""

from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Final

from admission.domain.policy.document import parse_policy
from admission.domain.policy.zone import ZonePolicy
from admission.sim.experience_portal.values import (
    ForeignUse,
    MppSettings,
    SystemSettings,
    ZoneSettings,
)
from admission.sim.values import CallTiming, Delay
from tests.support.simulation.scenarios import Scenario

ZONE: Final = "East"
CLOCK_STEP_MS: Final = 40  # a step forward that cannot be detected is at most this
SLOW_APPLICATION: Final = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters of a run.

    Args:
        mpps: ports by channel of each media server.
        claim_ms, end_notice_ms, release_ms: what is true; the policy may allow more.
        slow_claim_ms: the same for the application `slow`.
        talk_ms, talk_max_ms: mean and longest.
        loss, double, slow: probabilities of a message to be lost, doubled, late.
        policy: the zone's policy as an operator writes it.
    """

    mpps: dict[str, dict[str, int]]
    dedicated: bool
    claim_ms: int
    slow_claim_ms: int
    lag_ms: int
    end_notice_ms: int
    release_ms: int
    query_ms: int
    poll_ms: int
    talk_ms: int
    talk_max_ms: int
    page_fails: float
    dialers: int
    asks_ms: int
    campaigns: int
    count_max: int
    loss: float
    double: float
    slow: float
    policy: dict[str, Any]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the zone."""
        return tuple(self.policy["channels"])

    def parsed(self) -> ZonePolicy:
        """The policy, which its own rules accept."""
        return parse_policy(self.policy)

    def platform(self) -> SystemSettings:
        """The platform. foreign_calls.py makes the foreign calls, so their rate here is 0."""
        others = tuple(ForeignUse(name=f"others-{c}", channels=(c,)) for c in self.channels)
        servers = tuple(MppSettings(name=name, ports=ports) for name, ports in self.mpps.items())
        zone = ZoneSettings(name=ZONE, mpps=servers, foreign=others)
        return SystemSettings(zones=(zone,), lag_ms=self.lag_ms, hunting="most_free")

    def timing(self, claim_ms: int) -> CallTiming:
        """How one call goes that claims its port so long after its launch."""
        return CallTiming(
            prepare=Delay(low_ms=claim_ms, high_ms=claim_ms),
            answer_after=Delay(low_ms=100, high_ms=2_000),
            busy_after=Delay(low_ms=20, high_ms=500),
            talk=Delay(low_ms=100, high_ms=self.talk_max_ms, mean_ms=self.talk_ms),
            release=Delay(low_ms=0, high_ms=self.release_ms),
            answered=0.6,
            busy=0.1,
            page_fails=self.page_fails,
            ring_at_most_ms=2_500,
        )

    def shown(self) -> str:
        """One line for each parameter."""
        return "\n".join(f"  {name} = {value}" for name, value in asdict(self).items())


def _ports(random: Random, scenario: Scenario) -> dict[str, dict[str, int]]:
    servers = random.choice([1, 1, 2, 3]) + (1 if scenario.mpp_loss else 0)
    channels = ("h323", "sip") if scenario.channels else ("sip",)
    ports = random.choice([2, 3, 4, 6] if scenario.crowd else [1, 2, 3, 5, 8, 15, 25, 40])
    each = max(1, ports // servers)
    return {
        f"mpp{n}": {c: max(1, each // len(channels)) for c in channels}
        for n in range(1, servers + 1)
    }


def _times(random: Random, scenario: Scenario) -> dict[str, int]:
    margin = 0 if scenario.clock == "steady" else CLOCK_STEP_MS
    claim, lag = random.randint(30, 900) + margin, random.randint(0, 300)
    launch, max_age = random.randint(50, 600), random.randint(1_100, 4_000)
    # The slow application claims later: counted in what a pending one may last.
    shortest = launch + claim * 2 + lag + margin + max_age + 1
    return {
        "launch_within_ms": launch,
        "claim_within_ms": claim,
        "visibility_lag_ms": lag + margin,
        "end_notice_ms": random.choice([0, 20, 150]) + margin,
        "release_within_ms": random.choice([0, 0, 30, 400]),
        "poll_interval_ms": random.choice([400, 700, 1_000]),
        "poll_min_ms": 100,
        "max_age_ms": max_age,
        "answer_within_ms": shortest + random.choice([0, 500, 10_000]),
        "max_call_ms": shortest + random.choice([0, 3_000, 30_000]),
        "retention_ms": random.randint(500, 5_000),
    }


def _policy(
    random: Random, scenario: Scenario, mpps: dict[str, dict[str, int]], dedicated: bool
) -> dict[str, Any]:
    channels, times = list(mpps["mpp1"]), _times(random, scenario)
    ports = sum(sum(one.values()) for one in mpps.values())
    policy: dict[str, Any] = {
        "source": "experience_portal",
        "channels": channels,
        "ports": "dedicated" if dedicated else "shared",
        "headroom": random.choice([0, 0, 1, "10%"]) if ports > 3 * len(channels) else 0,
        **times,
        "applications": {SLOW_APPLICATION: {"claim_within_ms": times["claim_within_ms"] * 2}},
        "campaigns": {"*": {}, "c1": {"limit": max(1, ports * 2 // 3)}, "c2": {}},
    }
    if scenario.crowd:
        return policy | {"headroom": 0, "campaigns": {"*": {}}}
    if random.random() < 0.3:
        policy["pools"] = {"trunk:a": {"limit": max(1, ports - 1)}}
        policy["campaigns"]["c2"] = {"pools": ["trunk:a"]}
    if scenario.mpp_loss or random.random() < 0.5:
        policy["mpps"] = mpps
        policy["placement"] = random.choice(["platform", "controller"])
    return policy


def draw(scenario: Scenario, seed: int) -> Parameters:
    """The parameters of a seed: the same for ever."""
    random = Random(f"{seed} {scenario.name} parameters")
    mpps = _ports(random, scenario)
    drawn = random.random() < 0.4
    dedicated = drawn if scenario.dedicated is None else scenario.dedicated
    policy = _policy(random, scenario, mpps, dedicated)
    margin = 0 if scenario.clock == "steady" else CLOCK_STEP_MS
    ports = sum(sum(one.values()) for one in mpps.values())
    dialers = 4 if scenario.crowd else random.randint(1, 5)
    return Parameters(
        mpps=mpps,
        dedicated=dedicated,
        claim_ms=policy["claim_within_ms"] - margin,
        slow_claim_ms=policy["claim_within_ms"] * 2 - margin,
        lag_ms=policy["visibility_lag_ms"] - margin,
        end_notice_ms=policy["end_notice_ms"] - margin,
        release_ms=policy["release_within_ms"],
        query_ms=random.choice([5, 60, 400]),
        poll_ms=policy["poll_interval_ms"],
        # More ports: longer calls, so that a run costs about the same whatever was drawn.
        talk_ms=random.choice([1_500, 4_000]) + ports * 800,
        talk_max_ms=60_000,
        page_fails=random.choice([0.1, 0.4] if scenario.crowd else [0, 0.05, 0.3]),
        dialers=dialers,
        asks_ms=600 if scenario.crowd else dialers * random.choice([400, 700, 1_000]),
        campaigns=random.randint(1, 3),
        count_max=random.choice([1, 3, 8]),
        loss=random.choice([0.02, 0.1, 0.25]) if scenario.rough else random.choice([0, 0.005]),
        double=random.choice([0.02, 0.15]) if scenario.rough else 0.005,
        slow=random.choice([0.02, 0.15]) if scenario.rough else 0.005,
        policy=policy,
    )

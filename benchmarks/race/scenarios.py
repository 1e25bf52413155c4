"""The scenarios of the race. Times in virtual ms; other values are defaults of the simulator."""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from admission.sim.experience_portal.values import (
    ForeignUse,
    SystemSettings,
    ZoneSettings,
    build_even_zone,
)
from admission.sim.values import CallTiming, Delay

ZONE: Final = "East"
LAUNCH_MS: Final = Delay(low_ms=5, high_ms=60)  # from the ask to the launch
REPORT_MS: Final = Delay(low_ms=1, high_ms=20)  # a report is under way so long
NOTICE_MS: Final = Delay(low_ms=5, high_ms=150)  # from a step of a call until its dialer knows
EVENT_MS: Final = Delay(low_ms=20, high_ms=200)  # until a CCXML page has reported that it rings
QUERY_MS: Final = Delay(low_ms=10, high_ms=80)
POLL_MIN_MS: Final = 200
SLOW: Final = "slow"  # the name of the slow application
# Calls of 7 s on average: notifications, busy lines, no answer.
SHORT_CALLS: Final[dict[str, Any]] = {
    "answer_after": Delay(low_ms=1_000, high_ms=4_000),
    "ring_at_most_ms": 4_000,
    "talk": Delay(low_ms=1_000, high_ms=60_000, mean_ms=8_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One world.

    Args:
        title: the property of the scenario.
        ports: of the zone, on four media servers.
        dialers: greedy ones.
        launches: LaunchVXML answers when the call is connected or has failed; a CCXML page reports
            when it rings.
        poll_ms: between two snapshots.
        on_demand: after a denial the next poll comes sooner, as in the poller of the service.
        lag_ms: how old the platform's count may be.
        foreign_per_s: calls of others, each for about a minute.
        wave_ms: length of a wave of theirs, 0: steady.
        lost_ends: part of the end reports that never arrive.
        crash_ms: mean time between two crashes of a dialer, 0: none.
        mpp_lost_at, mpp_back_at: one of the media servers is gone between these, 0: never.
        claim_high_ms: the longest from a launch until its port is taken.
        slow_claim: half of the dialers run an application whose calls take their port so long after
            the launch instead; None: none do.
        placed: contestants that can place each call on a media server.
        calls: `30s`: ringing and talk as of the simulator; `7s`: calls of 7 s on average.
        lasts_ms: duration of the measurement, after a warm-up.
    """

    name: str
    title: str
    ports: int = 200
    dialers: int = 8
    launches: Literal["vxml", "ccxml"] = "vxml"
    poll_ms: int = 1_000
    on_demand: bool = True
    lag_ms: int = 400
    foreign_per_s: float = 0.0
    wave_ms: int = 0
    lost_ends: float = 0.0
    crash_ms: int = 0
    mpp_lost_at: int = 0
    mpp_back_at: int = 0
    claim_high_ms: int = 1_000
    slow_claim: Delay | None = None
    placed: bool = False
    calls: Literal["30s", "7s"] = "30s"
    lasts_ms: int = 180_000

    @property
    def is_dedicated(self) -> bool:
        """Nobody else uses the ports."""
        return not self.foreign_per_s

    def platform(self) -> SystemSettings:
        """The platform of this world."""
        waves = {"wave_period_ms": self.wave_ms, "wave_depth": 1.0 if self.wave_ms else 0.0}
        others = ForeignUse(rate_per_s=self.foreign_per_s, channels=("sip",), **waves)  # type: ignore[arg-type]
        zone: ZoneSettings = build_even_zone(ZONE, sip=self.ports // 4, foreign=(others,))
        timing = self.get_timing(slow=False)
        return SystemSettings(zones=(zone,), timing=timing, lag_ms=self.lag_ms, hunting="most_free")

    def get_timing(self, *, slow: bool) -> CallTiming:
        """The times of a call, by its application."""
        prepare = Delay(low_ms=100, high_ms=self.claim_high_ms)
        timing = CallTiming(prepare=self.slow_claim if slow and self.slow_claim else prepare)
        changes = SHORT_CALLS if self.calls == "7s" else {}
        return replace(timing, page_fails=0.02, **changes)

    def is_slow(self, dialer: int) -> bool:
        """Whether a dialer runs the slow application."""
        return self.slow_claim is not None and dialer % 2 == 1


INBOUND: Final = 0.7  # calls a second of others: they hold a quarter of 200 ports
FIXED: Final[dict[str, Any]] = {"on_demand": False, "foreign_per_s": INBOUND}

SCENARIOS: Final = (
    Scenario(name="dedicated", title="nobody else uses the ports"),
    Scenario(name="dedicated-ccxml", title="the same, LaunchCCXML", launches="ccxml"),
    Scenario(name="lost-ends", title="the same, 5% of end reports lost", lost_ends=0.05),
    Scenario(name="crashes", title="the same, a dialer crashes every minute", crash_ms=60_000),
    Scenario(
        name="mpp-loss",
        title="the same, a media server is lost for 80 s",
        mpp_lost_at=100_000,
        mpp_back_at=180_000,
    ),
    Scenario(name="inbound", title="inbound, steady", foreign_per_s=INBOUND),
    Scenario(
        name="inbound-ccxml",
        title="inbound, LaunchCCXML",
        foreign_per_s=INBOUND,
        launches="ccxml",
    ),
    Scenario(name="waves", title="inbound in waves", foreign_per_s=INBOUND, wave_ms=120_000),
    Scenario(
        name="inbound-lost",
        title="inbound, 5% of end reports lost",
        foreign_per_s=INBOUND,
        lost_ends=0.05,
    ),
    Scenario(name="poll-0.3", title="inbound, a poll every 0.3 s", poll_ms=300, **FIXED),
    Scenario(name="poll-1", title="inbound, a poll every 1 s", poll_ms=1_000, **FIXED),
    Scenario(name="poll-5", title="inbound, a poll every 5 s", poll_ms=5_000, **FIXED),
    Scenario(name="fresh", title="inbound, counts never old", lag_ms=0, foreign_per_s=INBOUND),
    Scenario(
        name="slow-claims",
        title="inbound, ports taken up to 4 s after launch: later than the default says",
        claim_high_ms=4_000,
        foreign_per_s=INBOUND,
    ),
    Scenario(name="short", title="calls of 7 s", calls="7s"),
    Scenario(
        name="short-inbound", title="calls of 7 s, inbound", calls="7s", foreign_per_s=INBOUND
    ),
    Scenario(
        name="short-poll-5",
        title="calls of 7 s, inbound, a poll every 5 s",
        calls="7s",
        poll_ms=5_000,
        **FIXED,
    ),
    Scenario(
        name="applications",
        title="calls of 7 s, inbound, claims of one application 0.1-1 s, of the other 1-3 s",
        calls="7s",
        slow_claim=Delay(low_ms=1_000, high_ms=3_000),
        foreign_per_s=INBOUND,
    ),
    Scenario(
        name="placed",
        title="inbound, each call is placed on a media server",
        placed=True,
        foreign_per_s=INBOUND,
    ),
    Scenario(
        name="ports-20",
        title="inbound, 20 ports",
        ports=20,
        foreign_per_s=0.07,
        dialers=4,
        lasts_ms=900_000,
    ),
    Scenario(
        name="ports-2000",
        title="inbound, 2,000 ports",
        ports=2_000,
        foreign_per_s=7.0,
        dialers=40,
        lasts_ms=40_000,
    ),
)


def quick(scenario: Scenario) -> Scenario:
    """The same world for a short while."""
    return replace(scenario, lasts_ms=min(60_000, scenario.lasts_ms))

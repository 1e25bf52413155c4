"""The simulated platform in a time that the test moves."""

import pytest

from admission.sim.experience_portal.values import Counts, ForeignUse
from admission.sim.values import Delay, Progress
from tests.support.experience_portal import (
    PREPARE_MS,
    RING_MS,
    TALK_MS,
    RecordedPortal,
    exactly,
    system,
    timing,
)

CLAIMED = PREPARE_MS
ANSWERED = CLAIMED + RING_MS
ENDED = ANSWERED + TALK_MS


def test_a_call_takes_its_port_only_after_its_page_was_prepared() -> None:
    recorded = RecordedPortal(system())
    recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED - 1)
    before = recorded.unused_sip()
    recorded.portal.advance(CLAIMED)
    assert (before, recorded.unused_sip()) == (2, 1)


@pytest.mark.parametrize(
    ("calls", "steps"),
    [
        (timing(), [(CLAIMED, "port_taken"), (ANSWERED, "answered"), (ENDED, "completed")]),
        (timing(answered=0.0), [(CLAIMED, "port_taken"), (CLAIMED + 25_000, "no_answer")]),
        (timing(answered=0.0, busy=1.0), [(CLAIMED, "port_taken"), (CLAIMED + 500, "busy")]),
        (timing(page_fails=1.0), [(CLAIMED, "failed")]),
        (
            timing(answer_after=exactly(30_000)),
            [(CLAIMED, "port_taken"), (CLAIMED + 25_000, "no_answer")],
        ),
    ],
    ids=["answered", "not answered", "busy", "page fails", "answered too late"],
)
def test_a_call_has_its_steps_and_outcome(calls: object, steps: list[tuple[int, str]]) -> None:
    recorded = RecordedPortal(system(calls=calls))  # type: ignore[arg-type]
    recorded.portal.launch("East")
    recorded.portal.advance(60_000)
    assert [(at, outcome or step) for at, step, outcome in recorded.log()] == steps
    assert recorded.unused_sip() == 2


def test_a_connect_timeout_ends_the_ringing() -> None:
    recorded = RecordedPortal(system(calls=timing(answered=0.0)))
    recorded.portal.launch("East", connect_timeout_ms=3_000)
    recorded.portal.advance(60_000)
    assert recorded.log()[-1] == (CLAIMED + 3_000, "ended", "no_answer")


def test_a_launch_that_finds_no_port_is_an_over_launch() -> None:
    recorded = RecordedPortal(system())
    for campaign in ("one", "two", "three"):
        recorded.portal.launch("East", campaign=campaign, application="app")
    recorded.portal.advance(CLAIMED)
    truth = recorded.portal.truth
    assert (truth.launches, truth.over_launches) == (3, 1)
    assert truth.by_campaign["three"] == {"launches": 1, "over_launches": 1, "no_resource": 1}
    assert (truth.last_over_launches[0].campaign, truth.last_over_launches[0].at) == (
        "three",
        CLAIMED,
    )
    assert recorded.log()[-1] == (CLAIMED, "ended", "no_resource")


def test_a_port_is_free_only_after_its_release() -> None:
    recorded = RecordedPortal(system(calls=timing(release=exactly(300))))
    recorded.portal.launch("East")
    recorded.portal.advance(ENDED + 299)
    held = recorded.unused_sip()
    recorded.portal.advance(ENDED + 300)
    assert (held, recorded.unused_sip()) == (1, 2)
    assert recorded.log()[-1] == (ENDED, "ended", "completed")


def test_h323_is_preferred_to_sip() -> None:
    recorded = RecordedPortal(system({"mpp1": {"sip": 1, "h323": 1}}))
    for _ in range(2):
        recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED)
    assert [event.channel for event in recorded.events] == ["h323", "sip"]


def test_a_call_that_may_only_have_sip_takes_no_h323() -> None:
    recorded = RecordedPortal(system({"mpp1": {"sip": 0, "h323": 1}}))
    recorded.portal.launch("East", channels=("sip",))
    recorded.portal.advance(CLAIMED)
    assert recorded.portal.truth.over_launches == 1


@pytest.mark.parametrize("bound", ["by the launch", "by the settings"])
def test_an_application_on_one_mpp_has_only_its_ports(bound: str) -> None:
    settings = system({"mpp1": {"sip": 1}, "mpp2": {"sip": 5}}, application_mpps={"ivr": "mpp1"})
    recorded = RecordedPortal(settings)
    how = {"mpp": "mpp1"} if bound == "by the launch" else {"application": "ivr"}
    for _ in range(2):
        recorded.portal.launch("East", **how)
    recorded.portal.advance(CLAIMED)
    assert recorded.portal.truth.over_launches == 1
    assert recorded.portal.truth.last_over_launches[0].bound_to == "mpp1"


def test_an_unbound_call_hunts_for_any_mpp_with_a_port() -> None:
    recorded = RecordedPortal(system({"mpp1": {"sip": 1}, "mpp2": {"sip": 2}}, hunting="first"))
    for _ in range(3):
        recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED)
    assert [event.mpp for event in recorded.events] == ["mpp1", "mpp2", "mpp2"]
    assert recorded.portal.hops == [3, 5, 2, 1]


def test_a_call_tied_at_its_launch_does_not_hunt_again() -> None:
    settings = system({"mpp1": {"sip": 1}, "mpp2": {"sip": 2}}, hunting="first", hunt_at="launch")
    recorded = RecordedPortal(settings)
    for _ in range(2):
        recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED)
    assert recorded.portal.truth.over_launches == 1


@pytest.mark.parametrize(
    ("hunting", "mpps"),
    [("round_robin", ["mpp2", "mpp1", "mpp1"]), ("most_free", ["mpp1", "mpp1", "mpp1"])],
)
def test_hunting_has_an_order(hunting: str, mpps: list[str]) -> None:
    recorded = RecordedPortal(system({"mpp1": {"sip": 3}, "mpp2": {"sip": 1}}, hunting=hunting))
    for _ in range(3):
        recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED)
    assert [event.mpp for event in recorded.events] == mpps


def test_a_lost_mpp_takes_its_ports_and_calls_along_and_comes_back_empty() -> None:
    recorded = RecordedPortal(system({"mpp1": {"sip": 2}, "mpp2": {"sip": 3}}))
    recorded.portal.launch("East", mpp="mpp1")
    recorded.portal.advance(CLAIMED)
    died = recorded.portal.fail_mpp("East", "mpp1")
    lost = recorded.portal.query("East")
    recorded.portal.restore_mpp("East", "mpp1")
    recorded.portal.advance(ENDED)
    assert died == 1
    assert recorded.log()[-1] == (CLAIMED, "ended", "failed")
    assert lost == Counts(total=3, unused_sip=3, unused_h323=0)
    assert recorded.portal.query("East") == Counts(total=5, unused_sip=5, unused_h323=0)


def test_a_call_on_its_way_to_a_lost_mpp_fails_without_being_an_over_launch() -> None:
    recorded = RecordedPortal(system())
    recorded.portal.launch("East", mpp="mpp1")
    recorded.portal.fail_mpp("East", "mpp1")
    recorded.portal.advance(CLAIMED)
    assert recorded.log() == [(CLAIMED, "ended", "failed")]
    assert recorded.portal.truth.over_launches == 0


def test_hanging_up_is_abandoning_before_the_answer_and_completing_after() -> None:
    recorded = RecordedPortal(system())
    first, second = (recorded.portal.launch("East") for _ in range(2))
    recorded.portal.advance(CLAIMED)
    recorded.portal.hang_up(first)
    recorded.portal.advance(ANSWERED)
    recorded.portal.hang_up(second)
    assert [outcome for _, _, outcome in recorded.log() if outcome] == ["abandoned", "completed"]
    assert not recorded.portal.hang_up(second)


def test_a_listener_may_launch_the_next_call() -> None:
    recorded = RecordedPortal(system())
    recorded.portal.listener = lambda event: (
        recorded.portal.launch("East") if event.step is Progress.ENDED else None
    )
    recorded.portal.launch("East")
    recorded.portal.advance(2 * ENDED)
    assert recorded.portal.truth.launches == 3


def test_a_count_is_that_of_a_moment_not_older_than_the_lag() -> None:
    recorded = RecordedPortal(system(lag_ms=400))
    recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED + 200)
    fresh = {recorded.unused_sip() for _ in range(100)}
    recorded.portal.advance(CLAIMED + 401)
    assert fresh == {1, 2}
    assert {recorded.unused_sip() for _ in range(100)} == {1}


def test_without_lag_a_count_is_true() -> None:
    recorded = RecordedPortal(system())
    recorded.portal.launch("East")
    recorded.portal.advance(CLAIMED)
    assert {recorded.unused_sip() for _ in range(20)} == {1}


def test_inbound_takes_ports_and_is_blocked_when_there_are_none() -> None:
    inbound = ForeignUse(rate_per_s=100, hold=exactly(600_000))
    recorded = RecordedPortal(system(foreign=(inbound,)))
    recorded.portal.advance(1_000)
    counts = recorded.portal.truth.foreign["inbound"]
    assert recorded.unused_sip() == 0
    assert counts["arrived"] == counts["blocked"] + 2
    assert 70 <= counts["arrived"] <= 130


def test_an_inbound_rate_can_be_changed_and_stopped() -> None:
    recorded = RecordedPortal(system(foreign=(ForeignUse(rate_per_s=50, hold=exactly(1)),)))
    recorded.portal.advance(1_000)
    recorded.portal.set_foreign("East", ForeignUse(rate_per_s=0))
    arrived = recorded.portal.truth.foreign["inbound"]["arrived"]
    recorded.portal.advance(10_000)
    assert recorded.portal.truth.foreign["inbound"]["arrived"] == arrived
    assert recorded.portal.next_at is None


def test_a_wave_swings_the_rate_around_its_mean() -> None:
    use = ForeignUse(rate_per_s=2, wave_period_ms=4_000, wave_depth=1.0)
    assert [round(use.rate_at(now), 6) for now in (0, 1_000, 3_000)] == [2, 4, 0]


def test_a_sudden_wave_takes_what_there_is() -> None:
    recorded = RecordedPortal(system())
    taken = recorded.portal.occupy("East", 3, hold=exactly(1_000))
    full = recorded.unused_sip()
    recorded.portal.advance(1_000)
    assert (taken, full, recorded.unused_sip()) == (2, 0, 2)


def test_the_truth_integrates_ports_in_use() -> None:
    recorded = RecordedPortal(system())
    recorded.portal.launch("East")
    recorded.portal.occupy("East", 1, hold=exactly(1_000))
    recorded.portal.advance(10_000)
    east = recorded.portal.truth_json()["zones"]["East"]
    used = RING_MS + TALK_MS
    assert east["port_ms"] == {"outbound": used, "foreign": 1_000, "available": 20_000}
    assert east["utilisation"] == (used + 1_000) / 20_000
    assert east["outbound_utilisation"] == used / 19_000


def test_the_same_seed_replays_the_same_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        inbound = ForeignUse(rate_per_s=1, hold=Delay(low_ms=10, high_ms=5_000))
        calls = timing(answered=0.5, prepare=Delay(low_ms=0, high_ms=900))
        recorded = RecordedPortal(system({"m": {"sip": 5}}, foreign=(inbound,), calls=calls), seed)
        for _ in range(20):
            recorded.portal.launch("East")
        recorded.portal.advance(60_000)
        runs.append(recorded.events)
    assert runs[0] == runs[1] != runs[2]


def test_asking_for_counts_does_not_change_how_the_calls_go() -> None:
    diaries = []
    for asks in (0, 50):
        recorded = RecordedPortal(system(calls=timing(answered=0.5), lag_ms=400))
        for _ in range(asks):
            recorded.portal.query("East")
        recorded.portal.launch("East")
        recorded.portal.advance(60_000)
        diaries.append(recorded.log())
    assert diaries[0] == diaries[1]


def test_an_unknown_zone_or_mpp_is_a_key_error() -> None:
    recorded = RecordedPortal(system())
    with pytest.raises(KeyError):
        recorded.portal.query("Nowhere")
    with pytest.raises(KeyError):
        recorded.portal.launch("East", mpp="nowhere")

"""The simulated platform in a time that the test moves."""

import pytest

from admission.sim.experience_portal.values import Counts, ForeignUse
from admission.sim.values import Delay, Progress
from tests.support.experience_portal import (
    PREPARE_MS,
    RING_MS,
    TALK_MS,
    World,
    exactly,
    system,
    timing,
)

CLAIMED = PREPARE_MS
ANSWERED = CLAIMED + RING_MS
ENDED = ANSWERED + TALK_MS


def test_a_call_takes_its_port_only_after_its_page_was_prepared() -> None:
    world = World(system())
    world.portal.launch("East")
    world.portal.advance(CLAIMED - 1)
    before = world.unused_sip()
    world.portal.advance(CLAIMED)
    assert (before, world.unused_sip()) == (2, 1)


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
    world = World(system(calls=calls))  # type: ignore[arg-type]
    world.portal.launch("East")
    world.portal.advance(60_000)
    assert [(at, outcome or step) for at, step, outcome in world.diary()] == steps
    assert world.unused_sip() == 2


def test_a_connect_timeout_ends_the_ringing() -> None:
    world = World(system(calls=timing(answered=0.0)))
    world.portal.launch("East", connect_timeout_ms=3_000)
    world.portal.advance(60_000)
    assert world.diary()[-1] == (CLAIMED + 3_000, "ended", "no_answer")


def test_a_launch_that_finds_no_port_is_an_over_launch() -> None:
    world = World(system())
    for campaign in ("one", "two", "three"):
        world.portal.launch("East", campaign=campaign, application="app")
    world.portal.advance(CLAIMED)
    truth = world.portal.truth
    assert (truth.launches, truth.over_launches) == (3, 1)
    assert truth.by_campaign["three"] == {"launches": 1, "over_launches": 1, "no_resource": 1}
    assert (truth.last_over_launches[0].campaign, truth.last_over_launches[0].at) == (
        "three",
        CLAIMED,
    )
    assert world.diary()[-1] == (CLAIMED, "ended", "no_resource")


def test_a_port_is_free_only_after_its_release() -> None:
    world = World(system(calls=timing(release=exactly(300))))
    world.portal.launch("East")
    world.portal.advance(ENDED + 299)
    held = world.unused_sip()
    world.portal.advance(ENDED + 300)
    assert (held, world.unused_sip()) == (1, 2)
    assert world.diary()[-1] == (ENDED, "ended", "completed")


def test_h323_is_preferred_to_sip() -> None:
    world = World(system({"mpp1": {"sip": 1, "h323": 1}}))
    for _ in range(2):
        world.portal.launch("East")
    world.portal.advance(CLAIMED)
    assert [event.channel for event in world.events] == ["h323", "sip"]


def test_a_call_that_may_only_have_sip_takes_no_h323() -> None:
    world = World(system({"mpp1": {"sip": 0, "h323": 1}}))
    world.portal.launch("East", channels=("sip",))
    world.portal.advance(CLAIMED)
    assert world.portal.truth.over_launches == 1


@pytest.mark.parametrize("bound", ["by the launch", "by the settings"])
def test_an_application_on_one_mpp_has_only_its_ports(bound: str) -> None:
    settings = system({"mpp1": {"sip": 1}, "mpp2": {"sip": 5}}, application_mpps={"ivr": "mpp1"})
    world = World(settings)
    how = {"mpp": "mpp1"} if bound == "by the launch" else {"application": "ivr"}
    for _ in range(2):
        world.portal.launch("East", **how)
    world.portal.advance(CLAIMED)
    assert world.portal.truth.over_launches == 1
    assert world.portal.truth.last_over_launches[0].bound_to == "mpp1"


def test_an_unbound_call_hunts_for_any_mpp_with_a_port() -> None:
    world = World(system({"mpp1": {"sip": 1}, "mpp2": {"sip": 2}}, hunting="first"))
    for _ in range(3):
        world.portal.launch("East")
    world.portal.advance(CLAIMED)
    assert [event.mpp for event in world.events] == ["mpp1", "mpp2", "mpp2"]
    assert world.portal.hops == [3, 5, 2, 1]


def test_a_call_tied_at_its_launch_does_not_hunt_again() -> None:
    settings = system({"mpp1": {"sip": 1}, "mpp2": {"sip": 2}}, hunting="first", hunt_at="launch")
    world = World(settings)
    for _ in range(2):
        world.portal.launch("East")
    world.portal.advance(CLAIMED)
    assert world.portal.truth.over_launches == 1


@pytest.mark.parametrize(
    ("hunting", "mpps"),
    [("round_robin", ["mpp2", "mpp1", "mpp1"]), ("most_free", ["mpp1", "mpp1", "mpp1"])],
)
def test_hunting_has_an_order(hunting: str, mpps: list[str]) -> None:
    world = World(system({"mpp1": {"sip": 3}, "mpp2": {"sip": 1}}, hunting=hunting))
    for _ in range(3):
        world.portal.launch("East")
    world.portal.advance(CLAIMED)
    assert [event.mpp for event in world.events] == mpps


def test_a_lost_mpp_takes_its_ports_and_calls_along_and_comes_back_empty() -> None:
    world = World(system({"mpp1": {"sip": 2}, "mpp2": {"sip": 3}}))
    world.portal.launch("East", mpp="mpp1")
    world.portal.advance(CLAIMED)
    died = world.portal.fail_mpp("East", "mpp1")
    lost = world.portal.query("East")
    world.portal.restore_mpp("East", "mpp1")
    world.portal.advance(ENDED)
    assert died == 1
    assert world.diary()[-1] == (CLAIMED, "ended", "failed")
    assert lost == Counts(total=3, unused_sip=3, unused_h323=0)
    assert world.portal.query("East") == Counts(total=5, unused_sip=5, unused_h323=0)


def test_a_call_on_its_way_to_a_lost_mpp_fails_without_being_an_over_launch() -> None:
    world = World(system())
    world.portal.launch("East", mpp="mpp1")
    world.portal.fail_mpp("East", "mpp1")
    world.portal.advance(CLAIMED)
    assert world.diary() == [(CLAIMED, "ended", "failed")]
    assert world.portal.truth.over_launches == 0


def test_hanging_up_is_abandoning_before_the_answer_and_completing_after() -> None:
    world = World(system())
    first, second = (world.portal.launch("East") for _ in range(2))
    world.portal.advance(CLAIMED)
    world.portal.hang_up(first)
    world.portal.advance(ANSWERED)
    world.portal.hang_up(second)
    assert [outcome for _, _, outcome in world.diary() if outcome] == ["abandoned", "completed"]
    assert not world.portal.hang_up(second)


def test_a_listener_may_launch_the_next_call() -> None:
    world = World(system())
    world.portal.listener = lambda event: (
        world.portal.launch("East") if event.step is Progress.ENDED else None
    )
    world.portal.launch("East")
    world.portal.advance(2 * ENDED)
    assert world.portal.truth.launches == 3


def test_a_count_is_that_of_a_moment_not_older_than_the_lag() -> None:
    world = World(system(lag_ms=400))
    world.portal.launch("East")
    world.portal.advance(CLAIMED + 200)
    fresh = {world.unused_sip() for _ in range(100)}
    world.portal.advance(CLAIMED + 401)
    assert fresh == {1, 2}
    assert {world.unused_sip() for _ in range(100)} == {1}


def test_without_lag_a_count_is_true() -> None:
    world = World(system())
    world.portal.launch("East")
    world.portal.advance(CLAIMED)
    assert {world.unused_sip() for _ in range(20)} == {1}


def test_inbound_takes_ports_and_is_blocked_when_there_are_none() -> None:
    inbound = ForeignUse(rate_per_s=100, hold=exactly(600_000))
    world = World(system(foreign=(inbound,)))
    world.portal.advance(1_000)
    counts = world.portal.truth.foreign["inbound"]
    assert world.unused_sip() == 0
    assert counts["arrived"] == counts["blocked"] + 2
    assert 70 <= counts["arrived"] <= 130


def test_an_inbound_rate_can_be_changed_and_stopped() -> None:
    world = World(system(foreign=(ForeignUse(rate_per_s=50, hold=exactly(1)),)))
    world.portal.advance(1_000)
    world.portal.set_foreign("East", ForeignUse(rate_per_s=0))
    arrived = world.portal.truth.foreign["inbound"]["arrived"]
    world.portal.advance(10_000)
    assert world.portal.truth.foreign["inbound"]["arrived"] == arrived
    assert world.portal.next_at is None


def test_a_wave_swings_the_rate_around_its_mean() -> None:
    use = ForeignUse(rate_per_s=2, wave_period_ms=4_000, wave_depth=1.0)
    assert [round(use.rate_at(now), 6) for now in (0, 1_000, 3_000)] == [2, 4, 0]


def test_a_sudden_wave_takes_what_there_is() -> None:
    world = World(system())
    taken = world.portal.occupy("East", 3, hold=exactly(1_000))
    full = world.unused_sip()
    world.portal.advance(1_000)
    assert (taken, full, world.unused_sip()) == (2, 0, 2)


def test_the_truth_integrates_ports_in_use() -> None:
    world = World(system())
    world.portal.launch("East")
    world.portal.occupy("East", 1, hold=exactly(1_000))
    world.portal.advance(10_000)
    east = world.portal.truth_json()["zones"]["East"]
    used = RING_MS + TALK_MS
    assert east["port_ms"] == {"outbound": used, "foreign": 1_000, "available": 20_000}
    assert east["utilisation"] == (used + 1_000) / 20_000
    assert east["outbound_utilisation"] == used / 19_000


def test_the_same_seed_replays_the_same_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        inbound = ForeignUse(rate_per_s=1, hold=Delay(low_ms=10, high_ms=5_000))
        calls = timing(answered=0.5, prepare=Delay(low_ms=0, high_ms=900))
        world = World(system({"m": {"sip": 5}}, foreign=(inbound,), calls=calls), seed)
        for _ in range(20):
            world.portal.launch("East")
        world.portal.advance(60_000)
        runs.append(world.events)
    assert runs[0] == runs[1] != runs[2]


def test_asking_for_counts_does_not_change_how_the_calls_go() -> None:
    diaries = []
    for asks in (0, 50):
        world = World(system(calls=timing(answered=0.5), lag_ms=400))
        for _ in range(asks):
            world.portal.query("East")
        world.portal.launch("East")
        world.portal.advance(60_000)
        diaries.append(world.diary())
    assert diaries[0] == diaries[1]


def test_an_unknown_zone_or_mpp_is_a_key_error() -> None:
    world = World(system())
    with pytest.raises(KeyError):
        world.portal.query("Nowhere")
    with pytest.raises(KeyError):
        world.portal.launch("East", mpp="nowhere")

"""The zone's time by a stopwatch: never later than it is, whatever the network did."""

from hypothesis import given
from hypothesis import strategies as st

from admission.client.zone_clock import ZoneClock

DELAYS = st.integers(0, 60_000)


class Stopwatch:
    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> float:
        return self.ms / 1000


def test_a_zone_that_never_answered_has_no_time():
    assert ZoneClock(Stopwatch()).now("East") is None


def test_time_goes_on_from_the_moment_the_answer_arrived():
    watch = Stopwatch()
    clock = ZoneClock(watch)
    watch.ms = 500
    clock.observe("East", 9_000, sent_at=0.1, arrived_at=0.5)
    watch.ms = 1_750
    assert clock.now("East") == 10_250
    assert clock.now("West") is None


def test_an_answer_that_was_overtaken_does_not_turn_time_back():
    clock = ZoneClock(watch := Stopwatch())
    clock.observe("East", 9_400, sent_at=0.1, arrived_at=0.5)
    clock.observe("East", 9_100, sent_at=0.1, arrived_at=0.9)
    watch.ms = 900
    assert clock.now("East") == 9_800


def test_a_zone_whose_clock_was_lost_is_trusted_after_its_next_answer():
    clock = ZoneClock(watch := Stopwatch())
    clock.observe("East", 9_400, sent_at=0.1, arrived_at=0.5)
    clock.observe("East", 7_000, sent_at=0.6, arrived_at=0.7)
    watch.ms = 700
    assert clock.now("East") == 7_000


@given(st.lists(st.tuples(DELAYS, DELAYS, DELAYS), min_size=1, max_size=20), DELAYS)
def test_the_time_is_a_lower_bound_for_all_delays_and_orders(exchanges, later):
    """Each exchange is sent, stamped by the zone on its way, and arrives; zone time runs evenly."""
    offset, watch = 5_000, Stopwatch()
    clock = ZoneClock(watch)
    sent, arrivals = 0, []
    for gap, there, back in exchanges:
        sent += gap
        arrivals.append((sent + there + back, sent, sent + there + offset))
    for arrived, sent_at, now in sorted(arrivals):
        watch.ms = arrived
        clock.observe("East", now, sent_at=sent_at / 1000, arrived_at=arrived / 1000)
        assert clock.now("East") <= watch.ms + offset
    watch.ms += later
    assert clock.now("East") <= watch.ms + offset

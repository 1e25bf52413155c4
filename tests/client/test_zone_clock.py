"""The zone's time by a stopwatch: never later than it is, whatever the network did."""

from hypothesis import given
from hypothesis import strategies as st

from admission.client.zone_clock import ZoneClock
from tests.support.manual_time import ManualTime

DELAYS = st.integers(0, 60_000)


def test_a_zone_that_never_answered_has_no_time():
    assert ZoneClock(ManualTime()).now("East") is None


def test_time_goes_on_from_the_moment_the_answer_arrived():
    watch = ManualTime()
    clock = ZoneClock(watch)
    watch.now = 0.5
    clock.observe("East", 9_000, sent_at=0.1, arrived_at=0.5)
    watch.now = 1.75
    assert clock.now("East") == 10_250
    assert clock.now("West") is None


def test_an_answer_that_was_overtaken_does_not_turn_time_back():
    clock = ZoneClock(watch := ManualTime())
    clock.observe("East", 9_400, sent_at=0.1, arrived_at=0.5)
    clock.observe("East", 9_100, sent_at=0.1, arrived_at=0.9)
    watch.now = 0.9
    assert clock.now("East") == 9_800


def test_a_zone_whose_clock_was_lost_is_trusted_after_its_next_answer():
    clock = ZoneClock(watch := ManualTime())
    clock.observe("East", 9_400, sent_at=0.1, arrived_at=0.5)
    clock.observe("East", 7_000, sent_at=0.6, arrived_at=0.7)
    watch.now = 0.7
    assert clock.now("East") == 7_000


@given(st.lists(st.tuples(DELAYS, DELAYS, DELAYS), min_size=1, max_size=20), DELAYS)
def test_the_time_is_a_lower_bound_for_all_delays_and_orders(exchanges, later):
    """Each exchange is sent, stamped by the zone on its way, and arrives; zone time runs evenly."""
    offset, watch = 5_000, ManualTime()
    clock = ZoneClock(watch)
    sent, arrivals = 0, []
    for gap, there, back in exchanges:
        sent += gap
        arrivals.append((sent + there + back, sent, sent + there + offset))
    for arrived, sent_at, now in sorted(arrivals):
        watch.now = arrived / 1000
        clock.observe("East", now, sent_at=sent_at / 1000, arrived_at=arrived / 1000)
        assert clock.now("East") <= arrived + offset
    watch.now = (arrived + later) / 1000
    assert clock.now("East") <= arrived + later + offset

"""What test calls prove, and what is configured for it: on the safe side of what was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admission.cli.measure.advice import Distribution, advise
from admission.cli.measure.report import (
    describe_call,
    format_command,
    render_advice,
    render_histograms,
)
from admission.cli.measure.trace import CallTimes, Count, InconclusiveCall, Trace, derive_times
from admission.cli.output import render_lines


def seen(*counts: tuple[float, int]) -> list[Count]:
    """Answers that took 10 ms each: (requested at, in s; unused)."""
    return [Count(at, at + 0.010, unused) for at, unused in counts]


def test_a_port_that_is_seen_taken_was_taken_before():
    trace = Trace(base=5, launched_at=1.0, up=seen((1.1, 5), (1.2, 5), (1.3, 4), (1.4, 4)))
    assert derive_times(trace) == CallTimes(claim=310, stale=0)


def test_a_count_that_still_shows_it_free_was_old():
    trace = Trace(base=5, launched_at=1.0, up=seen((1.2, 4), (1.3, 5), (1.45, 5), (1.5, 4)))
    assert derive_times(trace) == CallTimes(claim=210, stale=240)


def test_a_connected_call_has_its_port_though_no_count_shows_it():
    trace = Trace(base=5, launched_at=1.0, connected_at=1.1, up=seen((1.05, 5), (1.3, 5), (1.6, 4)))
    assert derive_times(trace) == CallTimes(claim=100, stale=200)


def test_a_port_is_free_between_the_last_answer_that_shows_it_taken_and_the_next():
    trace = Trace(
        base=5, launched_at=1.0, up=seen((1.2, 4)), hung_up_at=2.0,
        after=seen((2.0, 4), (2.1, 5), (2.2, 4), (2.3, 5), (2.4, 5)),
    )  # fmt: skip
    times = derive_times(trace)
    assert (times.freed_low, times.freed_high) == (200, 310)


@pytest.mark.parametrize(
    ("up", "after", "why"),
    [
        (seen((1.1, 5), (1.2, 3)), [], "other calls"),
        (seen((1.1, 6), (1.2, 4)), [], "other calls"),
        (seen((1.1, 5)), [], "never seen taken"),
        (seen((1.1, 4)), seen((2.1, 4)), "never seen free again"),
        (seen((1.1, 4)), [], "never seen free again"),
    ],
)
def test_a_disturbed_call_proves_nothing(up, after, why):
    with pytest.raises(InconclusiveCall, match=why):
        derive_times(Trace(base=5, launched_at=1.0, hung_up_at=2.0, up=up, after=after))


def calls(*times: tuple[int, int, int | None, int | None]) -> list[CallTimes]:
    names = ("claim", "stale", "freed_low", "freed_high")
    return [CallTimes(**dict(zip(names, one, strict=True))) for one in times]


def test_a_flickering_count_gives_the_lag_and_the_rest_is_release():
    advice = advise(calls((500, 200, 100, 160), (900, 380, 350, 410), (700, 0, 90, 150)))
    assert advice.lag.most == 380
    assert advice.release.values == (0, 0, 30)
    assert (advice.claim_within_ms, advice.visibility_lag_ms, advice.release_within_ms) == (
        1150, 500, 50,
    )  # fmt: skip


def test_a_count_that_is_kept_for_a_while_gives_its_lag_by_the_times_of_the_ends():
    advice = advise(calls((900, 0, 50, 100), (900, 0, 950, 1000), (900, 0, 500, 550)))
    assert advice.lag.most == 850
    assert advice.release.most == 150


def test_calls_that_end_by_themselves_give_no_release_time():
    advice = advise(calls((500, 20, None, None)))
    assert (advice.release, advice.release_within_ms) == (None, None)
    assert "--hangup-event" in "\n".join(render_lines(render_advice(advice, "", plot=False)))
    assert format_command(advice, "East", "ivr") == (
        "admission set East applications.ivr.claim_within_ms=650 visibility_lag_ms=50"
    )


FREED = st.tuples(st.integers(0, 3000), st.integers(0, 500))


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2000), FREED), min_size=1))
def test_the_recommended_settings_cover_every_measurement(drawn):
    times = calls(*((c, stale, low, low + more) for c, stale, (low, more) in drawn))
    advice = advise(times)
    for one in times:
        assert one.claim <= advice.claim_within_ms
        assert one.stale <= advice.visibility_lag_ms
        assert one.freed_high <= advice.visibility_lag_ms + advice.release_within_ms
    lines = [line for one in render_histograms(advice) for line in render_lines(one)]
    assert sum("|" in line for line in lines) == 36


def test_a_distribution_has_quantiles():
    times = Distribution(values=tuple(range(0, 101)))
    assert (times.least, times.quantile(0.5), times.quantile(0.9), times.most) == (
        0,
        50,
        90,
        100,
    )
    assert Distribution(values=(7,)).quantile(0.9) == 7


def test_the_table_and_the_line_of_a_call():
    [line] = [describe_call(one) for one in calls((500, 20, 10, 60))]
    assert line == "port taken within 500 ms, counts up to 20 ms old, free again after 10 to 60 ms"
    report = render_advice(advise(calls((500, 20, 10, 60))), "admission set East", plot=False)
    assert render_lines(report)[:2] == [
        "                calls  min  median  p90  max  configure",
        "claim time          1  500     500  500  500  claim_within_ms = 650",
    ]

"""What was measured, as lines of text: the spread, what to configure, and a plot. Pure."""

from collections.abc import Iterable
from typing import Final

from admission.cli.measure.advice import Advice, Spread
from admission.cli.measure.trace import CallTimes

BINS: Final = 12
BAR_MAX: Final = 40


def call_line(times: CallTimes) -> str:
    """What one call proved."""
    said = f"port taken within {times.claim} ms, counts up to {times.stale} ms old"
    if times.freed_high is None:
        return said
    return f"{said}, free again after {times.freed_low} to {times.freed_high} ms"


def advice_lines(advice: Advice) -> list[str]:
    """The spread of each time, and what to configure for it."""
    head = f"{'':<16}{'calls':>6}{'min':>7}{'median':>8}{'p90':>7}{'max':>7}   configure"
    rows = [_row(name, spread, setting, value) for name, spread, setting, value in _named(advice)]
    return [head, *rows]


def plot_lines(advice: Advice) -> Iterable[str]:
    """A histogram of each."""
    for name, spread, _, _ in _named(advice):
        if spread is not None:
            yield from ("", f"{name}, ms", *_histogram(spread))


def command_line(advice: Advice, zone: str, application: str | None) -> str:
    """The command that makes it live. `application`: one of the policy, else it is the zone's."""
    claim = f"applications.{application}.claim_within_ms" if application else "claim_within_ms"
    release = advice.release_within_ms
    said = [f"{claim}={advice.claim_within_ms}", f"visibility_lag_ms={advice.visibility_lag_ms}"]
    said += [] if release is None else [f"release_within_ms={release}"]
    return f"admission set {zone} {' '.join(said)}"


def _named(advice: Advice) -> list[tuple[str, Spread | None, str, int | None]]:
    return [
        ("claim time", advice.claim, "claim_within_ms", advice.claim_within_ms),
        ("visibility lag", advice.lag, "visibility_lag_ms", advice.visibility_lag_ms),
        ("release time", advice.release, "release_within_ms", advice.release_within_ms),
    ]


def _row(name: str, spread: Spread | None, setting: str, value: int | None) -> str:
    if spread is None:
        return f"{name:<16}{0:>6}   not known when calls end: give --hangup-event"
    numbers = f"{spread.least:>7}{spread.at(0.5):>8}{spread.at(0.9):>7}{spread.most:>7}"
    return f"{name:<16}{len(spread.values):>6}{numbers}   {setting} = {value}"


def _histogram(spread: Spread) -> Iterable[str]:
    width = max(1, -(-(spread.most + 1) // BINS))
    counts = [0] * BINS
    for value in spread.values:
        counts[value // width] += 1
    tallest = max(counts)
    for n, count in enumerate(counts):
        filled = "#" * -(-count * min(BAR_MAX, tallest) // tallest)
        yield f"  {n * width:>6} to {(n + 1) * width - 1:<6} |{filled} {count or ''}".rstrip()

"""The report of `admission measure`: distributions, settings, histograms."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from admission.cli.measure.advice import Advice, Distribution
from admission.cli.measure.trace import CallTimes
from admission.cli.output import format_value, indent, make_table

BINS: Final = 12
BAR_MAX: Final = 40
_NUMBERS: Final = ("calls", "min", "median", "p90", "max")


def describe_call(times: CallTimes) -> str:
    """Return what one call proved, in a line."""
    proved = f"port taken within {times.claim} ms, counts up to {times.stale} ms old"
    if times.freed_high is None:
        return proved
    return f"{proved}, free again after {times.freed_low} to {times.freed_high} ms"


def render_advice(
    advice: Advice, command: str, *, plot: bool, learned: dict[str, Any] | None = None
) -> RenderableType:
    """Return the table of all times, histograms if wanted, and the command that sets the times.

    Args: learned: what the service has learned of the channel, beside which the times are shown.
    """
    histograms = render_histograms(advice) if plot else ()
    beside = [Text(), _compare(advice, learned)] if learned else []
    live = (Text("\nTo make it live:"), Text(f"  {command}"))
    return Group(_tabulate(advice), *beside, *histograms, *live)


def _compare(advice: Advice, learned: dict[str, Any]) -> RenderableType:
    """Measured and learned times side by side."""
    times = advice.claim.fields()
    rows = (
        ("claim time, median", times["median"], learned["claim_median_ms"]),
        ("claim time, longest measured, 99% learned", times["max"], learned["claim_p99_ms"]),
        (
            "age of counts, median measured, mean learned",
            advice.lag.quantile(0.5),
            learned["count_age_ms"],
        ),
    )
    table = make_table("ms", "measured", "learned", right=("measured", "learned"))
    for name, measured, known in rows:
        table.add_row(name, str(measured), format_value(known))
    return table


def render_histograms(advice: Advice) -> Iterator[RenderableType]:
    """Return a histogram of each time that is known."""
    for name, distribution, _, _ in _name_times(advice):
        if distribution is not None:
            yield Text(f"\n{name}, ms", style="bold")
            yield indent(_render_histogram(distribution))


def format_command(advice: Advice, zone: str, application: str | None) -> str:
    """Return the command that makes the times live.

    Args: application: one of the policy, whose claim time is set; None: the claim time of the zone.
    """
    claim = f"applications.{application}.claim_within_ms" if application else "claim_within_ms"
    settings = {claim: advice.claim_within_ms, "visibility_lag_ms": advice.visibility_lag_ms}
    if advice.release_within_ms is not None:
        settings["release_within_ms"] = advice.release_within_ms
    return f"admission set {zone} {' '.join(f'{name}={ms}' for name, ms in settings.items())}"


def _name_times(advice: Advice) -> list[tuple[str, Distribution | None, str, int | None]]:
    return [
        ("claim time", advice.claim, "claim_within_ms", advice.claim_within_ms),
        ("visibility lag", advice.lag, "visibility_lag_ms", advice.visibility_lag_ms),
        ("release time", advice.release, "release_within_ms", advice.release_within_ms),
    ]


def _tabulate(advice: Advice) -> RenderableType:
    table = make_table("", *_NUMBERS, "configure", right=_NUMBERS)
    for name, distribution, setting, value in _name_times(advice):
        if distribution is None:
            table.add_row(name, "0", *[""] * 4, "the end of the calls is not known: --hangup-event")
            continue
        fields = distribution.fields()
        table.add_row(name, *(str(fields[one]) for one in _NUMBERS), f"{setting} = {value}")
    return table


def _render_histogram(distribution: Distribution) -> RenderableType:
    width = max(1, -(-(distribution.most + 1) // BINS))
    table = make_table("ms", "share", "calls", right=("ms",), header=False)
    for n, count, bar in _count_bins(distribution, width):
        table.add_row(f"{n * width} to {(n + 1) * width - 1}", f"|{bar}", str(count or ""))
    return table


def _count_bins(distribution: Distribution, width: int) -> Iterable[tuple[int, int, str]]:
    counts = [0] * BINS
    for value in distribution.values:
        counts[value // width] += 1
    tallest = max(counts)
    for n, count in enumerate(counts):
        yield n, count, "#" * -(-count * min(BAR_MAX, tallest) // tallest)

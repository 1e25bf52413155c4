"""What one test call proves about the platform. Pure: all times are seconds of a stopwatch.

A port is visible in the counts of the platform only, and a count may be old when the platform
answers. So the moments are not known, but bounds of them are:

* The port was taken before the arrival of the first count that shows it taken (or, with LaunchVXML,
  before the call was connected): an upper bound of the claim time.
* A count that was requested after that moment and still shows the port free was as old as the
  difference: a lower bound of the visibility lag.
* The port was shown free again between the last count that shows it taken and the next count:
  bounds of release time plus lag, if the moment of hanging up is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Count:
    """One answer to QueryResources: when it was requested, when it arrived, unused ports.

    Example:
        `Count(10.0, 10.02, 5)`
    """

    sent_at: float
    arrived_at: float
    unused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One test call.

    Args:
        base: unused ports before the call.
        launched_at: when the launch was sent.
        connected_at: when LaunchVXML answered; None after LaunchCCXML, whose answer proves nothing.
        hung_up_at: when the platform confirmed hanging up; None: the call ended by itself.
        up: counts from the launch until hanging up.
        after: counts since then.

    Example:
        `Trace(base=5, launched_at=1.0, up=[Count(1.2, 1.21, 4)])`
    """

    base: int
    launched_at: float
    connected_at: float | None = None
    hung_up_at: float | None = None
    up: Sequence[Count]
    after: Sequence[Count] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimes:
    """What a call proves, in ms, rounded up.

    Args:
        claim: upper bound of the time from launch to the taken port.
        stale: lower bound of the age of a count.
        freed_low, freed_high: bounds of the time from the end until a count shows the port free;
            None: the end of the call is not known.

    Example:
        `CallTimes(claim=310, stale=0)`
    """

    claim: int
    stale: int
    freed_low: int | None = None
    freed_high: int | None = None


class InconclusiveCall(Exception):
    """The counts prove nothing: another call came or went meanwhile, or the port was never seen."""


def derive_times(trace: Trace) -> CallTimes:
    """Return what a call proves.

    Raises:
        InconclusiveCall: the counts do not fit one call alone.
    """
    shown = {count.unused for count in (*trace.up, *trace.after)}
    if not shown <= {trace.base, trace.base - 1}:
        raise InconclusiveCall("other calls came or went meanwhile")
    taken = [count for count in trace.up if count.unused < trace.base]
    if not taken:
        raise InconclusiveCall("its port was never seen taken")
    known_at = min(taken[0].arrived_at, trace.connected_at or taken[0].arrived_at)
    free = [count.sent_at for count in trace.up if count.unused == trace.base]
    stale_s = max((sent_at - known_at for sent_at in free), default=0.0)
    claim, stale = _to_ms(known_at - trace.launched_at), _to_ms(max(0.0, stale_s))
    if trace.hung_up_at is None:
        return CallTimes(claim=claim, stale=stale)
    low_s, high_s = _bound_release(trace.after, trace.base, trace.hung_up_at)
    return CallTimes(claim=claim, stale=stale, freed_low=_to_ms(low_s), freed_high=_to_ms(high_s))


def _bound_release(after: Sequence[Count], base: int, ended_at: float) -> tuple[float, float]:
    """Between the last count that shows the port taken and the next one."""
    last = max((n for n, count in enumerate(after) if count.unused < base), default=-1)
    if last + 1 == len(after):
        raise InconclusiveCall("its port was never seen free again")
    low_s = after[last].sent_at - ended_at if last >= 0 else 0.0
    return max(0.0, low_s), max(0.0, after[last + 1].arrived_at - ended_at)


def _to_ms(seconds: float) -> int:
    # Rounded up, except for what only floating-point arithmetic adds.
    return math.ceil(round(seconds * 1000, 3))

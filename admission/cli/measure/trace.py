"""What was seen of one test call, and what that proves. Pure: all times are stopwatch seconds.

A port is seen in the platform's count only, and a count may be old when it is answered. So nothing
is known at a moment, but bounds are:

* the port was taken before the first answer arrived that shows it taken (or, with LaunchVXML,
  before the call was connected): an upper bound of the claim time;
* an answer that still shows it free, to a question asked after that, was so old: a lower bound of
  the visibility lag;
* the port was shown free again between the last answer that shows it taken and the next one: bounds
  of release time and lag together, if it is known when the call was hung up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer to QueryResources: when it was asked for, when it arrived, unused ports."""

    sent_at: float
    arrived_at: float
    unused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One test call.

    Args:
        base: unused ports before it.
        launched_at: when the launch was sent.
        connected_at: when LaunchVXML answered; None: it was a LaunchCCXML, which proves nothing.
        hung_up_at: when hanging up was answered; None: the call ended by itself.
        up: seen from the launch until hanging up.
        after: seen since then.
    """

    base: int
    launched_at: float
    connected_at: float | None = None
    hung_up_at: float | None = None
    up: Sequence[Seen]
    after: Sequence[Seen] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimes:
    """What a call proves, in ms, rounded up.

    Args:
        claim: the port was taken so long after the launch, at most.
        stale: a count was so old, at least.
        freed_low, freed_high: so long after the end the port was shown free, between the two; None:
            it is not known when the call ended.
    """

    claim: int
    stale: int
    freed_low: int | None = None
    freed_high: int | None = None


class Disturbed(Exception):
    """Somebody else's calls came or went meanwhile: this call proves nothing."""


def times_of(trace: Trace) -> CallTimes:
    """What a call proves.

    Raises:
        Disturbed: the counts do not fit one call alone, or it was never seen.
    """
    shown = {one.unused for one in (*trace.up, *trace.after)}
    if not shown <= {trace.base, trace.base - 1}:
        raise Disturbed("other calls came or went meanwhile")
    taken = [one for one in trace.up if one.unused < trace.base]
    if not taken:
        raise Disturbed("its port was never seen taken")
    known_at = min(taken[0].arrived_at, trace.connected_at or taken[0].arrived_at)
    free = [one.sent_at for one in trace.up if one.unused == trace.base]
    stale_s = max((sent_at - known_at for sent_at in free), default=0.0)
    claim, stale = _ms(known_at - trace.launched_at), _ms(max(0.0, stale_s))
    if trace.hung_up_at is None:
        return CallTimes(claim=claim, stale=stale)
    low_s, high_s = _freed(trace.after, trace.base, trace.hung_up_at)
    return CallTimes(claim=claim, stale=stale, freed_low=_ms(low_s), freed_high=_ms(high_s))


def _freed(after: Sequence[Seen], base: int, ended_at: float) -> tuple[float, float]:
    """Between the last answer that shows it taken and the next one."""
    last = max((n for n, one in enumerate(after) if one.unused < base), default=-1)
    if last + 1 == len(after):
        raise Disturbed("its port was never seen free again")
    low_s = after[last].sent_at - ended_at if last >= 0 else 0.0
    return max(0.0, low_s), max(0.0, after[last + 1].arrived_at - ended_at)


def _ms(seconds: float) -> int:
    """Up to the next whole one, but for what only the arithmetic of floats adds."""
    return math.ceil(round(seconds * 1000, 3))

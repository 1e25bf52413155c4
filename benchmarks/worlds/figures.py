"""Figures of one contestant over several seeds, with confidence intervals."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.worlds.world import BLOCK_S, Block, World

WARM_UP_S = 60.0
_TWO_SIDED = 1.96  # of the normal law, for 95%


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share in percent, estimated from blocks, with its standard error."""

    percent: float
    error: float
    of: int
    hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One contestant in one world.

    Args:
        used: ports in use, by granted and foreign calls, in percent.
        used_error: standard error of `used` over the blocks.
        own: ports in use by granted calls, in percent.
        failing: launches that found no port.
        blocked: foreign calls that found no port, in percent.
    """

    used: float
    used_error: float
    own: float
    failing: Share
    blocked: float


def figures(runs: Sequence[World], begin_s: float, end_s: float) -> Figures:
    blocks = [block for run in runs for block in _between(run, begin_s, end_s)]
    ports = sum(block.ports for block in blocks)
    used = sum(block.used for block in blocks) / ports
    spread = sum((block.used - used * block.ports) ** 2 for block in blocks)
    arrivals = sum(block.arrivals for block in blocks)
    return Figures(
        used=100 * used,
        used_error=100 * math.sqrt(spread * len(blocks) / max(1, len(blocks) - 1)) / ports,
        own=100 * sum(block.own for block in blocks) / ports,
        failing=_share((block.launches, block.failures) for block in blocks),
        blocked=100 * sum(block.blocked for block in blocks) / max(1, arrivals),
    )


def _between(run: World, begin_s: float, end_s: float) -> list[Block]:
    return run.blocks[int(begin_s / BLOCK_S) : int(end_s / BLOCK_S)]


def _share(blocks: Iterable[tuple[int, int]]) -> Share:
    pairs = list(blocks)
    launches = sum(pair[0] for pair in pairs)
    failures = sum(pair[1] for pair in pairs)
    if not launches:
        return Share(percent=0.0, error=0.0, of=0, hits=0)
    share = failures / launches
    spread = sum((failed - share * launched) ** 2 for launched, failed in pairs)
    error = math.sqrt(spread * len(pairs) / max(1, len(pairs) - 1)) / launches
    return Share(percent=100 * share, error=100 * error, of=launches, hits=failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A contestant against the oracle.

    Args:
        use: its use in percent of the oracle's, `use_half` half of the 95% interval of that.
        beyond: its failing share less the oracle's, in points, with the 95% interval low..high;
            by the rule of three where no launch failed.
    """

    use: float
    use_half: float
    beyond: float
    low: float
    high: float


def against(one: Figures, oracle: Figures) -> Against:
    use = 100 * one.used / oracle.used
    relative = math.hypot(one.used_error / one.used, oracle.used_error / oracle.used)
    beyond = one.failing.percent - oracle.failing.percent
    half = _TWO_SIDED * math.hypot(one.failing.error, oracle.failing.error)
    high = beyond + half
    if not one.failing.hits:
        high = beyond + _TWO_SIDED * oracle.failing.error + 300 / max(1, one.failing.of)
    return Against(
        use=use,
        use_half=_TWO_SIDED * use * relative,
        beyond=beyond,
        low=beyond - half,
        high=high,
    )

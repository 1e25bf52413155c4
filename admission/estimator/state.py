"""What the estimator keeps between two snapshots, and its stored form."""

import json
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, Final

from admission.estimator.distrust import Doubt, Evidence
from admission.estimator.filter_bank import FilterBank
from admission.estimator.observation import Counters

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that has been learned of one pool; any replica continues from it.

    Args:
        t0, t1, total, unused: of the newest snapshot learned from. A snapshot whose t0 is not
            newer is not learned from again.
        born_at: t1 of the first snapshot since the state was new.
        snapshots: learned from since then.
        interval_s: usual time between two snapshots.
        end_rate: own ends per second.
        report_share: of ended reservations whose launch was reported.
        launch_delay_s: mean time from the grant to the reported launch.
        counters: totals as of the newest snapshot.
        failed_at: newest failure that has been learned from.
        visible: own calls that the newest count was expected to show.
        calibration: logarithm of what the quantiles are scaled by; None: of a version without it.
        counted_at: the stated time of the newest count; None: it was not stated.
        bank: the six values of each filter, as 32-bit floats.
        evidence: what speaks against the model.

    Example:
        >>> state = State(t0=1, t1=2, total=20, unused=5, born_at=2)
        >>> State.load(state.dump()) == state
        True
    """

    t0: int
    t1: int
    total: int
    unused: int
    born_at: int
    snapshots: int = 1
    interval_s: float = 1.0
    end_rate: float = 0.0
    report_share: float = 0.0
    launch_delay_s: float = 0.0
    counters: Counters = field(default_factory=Counters)
    failed_at: int = 0
    visible: float = 0.0
    calibration: float | None = None
    counted_at: int | None = None
    bank: bytes = b""
    evidence: Evidence = field(default_factory=Evidence)

    def dump(self) -> str:
        """The state as one line of JSON; the filters are base64 of little-endian float32."""
        c, e = self.counters, self.evidence
        return json.dumps(
            {
                "v": VERSION,
                "snapshot": [self.t0, self.t1, self.total, self.unused],
                "learned": [self.born_at, self.snapshots, self.failed_at],
                "statistics": [
                    self.interval_s,
                    self.end_rate,
                    self.report_share,
                    self.launch_delay_s,
                    self.visible,
                ],
                "counters": [
                    c.reports,
                    c.report_delay_ms,
                    c.ends,
                    c.failures,
                    c.drops,
                ],
                "calibration": self.calibration,
                "counted_at": self.counted_at,
                "evidence": [e.surprise, e.frozen, e.restless, e.failures, sorted(e.doubts)],
                "bank": b64encode(self.bank).decode("ascii"),
            },
            separators=(",", ":"),
        )

    @classmethod
    def load(cls, text: str) -> "State | None":
        """Read a stored state; None where another version wrote it or it cannot be read.

        The caller then begins anew: nothing is lost but some seconds of learning.
        """
        try:
            stored = json.loads(text)
            return cls._from(stored) if stored["v"] == VERSION else None
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def _from(cls, stored: dict[str, Any]) -> "State":
        t0, t1, total, unused = stored["snapshot"]
        born_at, snapshots, failed_at = stored["learned"]
        interval_s, end_rate, report_share, launch_delay_s, visible = stored["statistics"]
        reports, report_delay_ms, ends, failures, drops = stored["counters"]
        surprise, frozen, restless, failing, doubts = stored["evidence"]
        return cls(
            t0=t0,
            t1=t1,
            total=total,
            unused=unused,
            born_at=born_at,
            snapshots=snapshots,
            failed_at=failed_at,
            interval_s=interval_s,
            end_rate=end_rate,
            report_share=report_share,
            launch_delay_s=launch_delay_s,
            visible=visible,
            calibration=stored.get("calibration"),
            counted_at=stored.get("counted_at"),
            counters=Counters(
                reports=reports,
                report_delay_ms=report_delay_ms,
                ends=ends,
                failures=failures,
                drops=drops,
            ),
            bank=b64decode(stored["bank"], validate=True),
            evidence=Evidence(
                surprise=surprise,
                frozen=frozen,
                restless=restless,
                failures=failing,
                doubts=frozenset(map(Doubt, doubts)),
            ),
        )


def pack_bank(bank: FilterBank) -> bytes:
    """The filters as 32-bit floats: a seventh digit of a port count is noise."""
    values = [
        *bank.weights,
        *bank.levels,
        *bank.variances,
        *bank.slopes,
        *bank.covariances,
        *bank.slope_variances,
    ]
    return struct.pack(f"<{len(values)}f", *values)


def unpack_bank(packed: bytes, size: int) -> FilterBank | None:
    """The filters again; None where they were packed for another number of filters."""
    if len(packed) != 6 * 4 * size:
        return None
    values = struct.unpack(f"<{6 * size}f", packed)
    parts = [list(values[i * size : (i + 1) * size]) for i in range(6)]
    return FilterBank(
        weights=parts[0],
        levels=parts[1],
        variances=parts[2],
        slopes=parts[3],
        covariances=parts[4],
        slope_variances=parts[5],
    )

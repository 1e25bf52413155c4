"""Values that every package shares: types, outcomes, snapshots, policy. No I/O, no clock."""

from admission.domain.outcomes import Outcome, Reason
from admission.domain.snapshots import IngestAnswer, Lease, Snapshot, SnapshotGroup
from admission.domain.types import Answer, Name, PoolName, StrictModel

__all__ = [
    "Answer",
    "IngestAnswer",
    "Lease",
    "Name",
    "Outcome",
    "PoolName",
    "Reason",
    "Snapshot",
    "SnapshotGroup",
    "StrictModel",
]

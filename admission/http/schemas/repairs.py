"""What the ledger repaired: the recount, and what was set aside."""

from admission.http.schemas.base import Response, ZoneTime


class RecountState(Response):
    """The recount of a zone."""

    in_doubt: bool
    """Counts may be too low: requests are denied as `recovering` until the recount ends."""
    running: bool


class AsideEntry(Response):
    """Something that could not be read and was set aside, so that the zone goes on without it."""

    kind: str
    """`reservation`, `request`, `pool`, `share`, `waiter`; `key`: a whole key of Redis."""
    name: str
    reason: str
    moved_to: str | None = None
    """Of a key: its name in Redis now."""
    advice: str
    """What became of it, and what an operator does."""


class ClearAnswer(Response):
    """What was set aside is deleted."""

    zone: str
    now: ZoneTime
    cleared: int
    """Entries deleted."""

"""What the ledger repaired: the recount, and what was set aside; replaced signing keys."""

from typing import Annotated, Final

from pydantic import Field

from admission.domain.types import StrictModel
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


class StoredCounts(Response):
    """What Redis stores of the zone, and the bounds by its policy."""

    reservations: int
    """Live and ended ones."""
    max_reservations: int | None = None
    pools: int
    max_pools: int | None = None


class ClearAnswer(Response):
    """What was set aside is deleted."""

    zone: str
    now: ZoneTime
    cleared: int
    """Entries deleted."""


KEEP_MS_MAX: Final = 7 * 24 * 3_600_000


class RotateKeys(StrictModel):
    """The body of `POST /v1/zones/{zone}/keys`: a new key signs from now on."""

    keep_ms: Annotated[int, Field(ge=0, le=KEEP_MS_MAX)] = 24 * 3_600_000
    """Signatures of the keys before it are accepted for this long, 0: no more. A `report_url` of a
    call that is up longer is refused then."""


class RotateAnswer(Response):
    """The signing key of the zone was replaced."""

    zone: str
    now: ZoneTime
    version: int
    """Version of the policy: the key belongs to it."""
    accepted_until: ZoneTime
    """Signatures of earlier keys are accepted until then."""

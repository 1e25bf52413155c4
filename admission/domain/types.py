"""Names, bounds and constrained types that every package shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from admission.domain.visible_text import INVISIBLE, require_visible

COUNT_MAX: Final = 100

BATCH_MAX: Final = 1000

WAIT_MS_MAX: Final = 30_000

POOLS_MAX: Final = 8

# Pools of one pushed snapshot.
PUSHED_POOLS_MAX: Final = 2_000

LIMIT_TTL_MS_MAX: Final = 24 * 3_600_000

# What a zone, campaign, MPP, application or channel may be called. `:` separates the parts of a
# pool's name, `~` the zone from the rest of a reservation id, `{}` is Redis' hash tag.
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

POOL: Final = r"^[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

# The full name of any pool that can be paused or limited; `mpp:mpp1` is the whole MPP.
ANY_POOL: Final = (
    r"^[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}(:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?$"
)

REQUEST_ID: Final = r"^[A-Za-z0-9._:-]{1,64}$"

# 19 characters prove that this service issued the id; 11 are of an older version (http/ids.py).
RESERVATION_ID: Final = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}~([A-Za-z0-9_-]{11}|[A-Za-z0-9_-]{19})(\.[1-9][0-9]{0,2})?$"
)

AGENT_ID: Final = r"^[1-9][0-9]{2,5}$"

GUID: Final = r"^(JSESSIONID=)?[A-Za-z0-9._~+/-]{8,180}$"

# Prefixes of pools that are not the caller's to name: they follow from the request.
BUILT_IN_POOLS: Final = ("channel", "mpp", "campaign", "zone", "application")

Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME)]

PoolName: TypeAlias = Annotated[str, StringConstraints(pattern=POOL)]

Milliseconds: TypeAlias = Annotated[int, Field(ge=0, lt=2**53, strict=True)]

# Without characters that are invisible, or that a terminal obeys.
TEXT: Final = f"^[^{INVISIBLE}]*$"

Text: TypeAlias = Annotated[
    str, StringConstraints(max_length=128, pattern=TEXT), AfterValidator(require_visible)
]

# Numbers of a platform: the ledger checks them and counts those that it refuses.
Counted: TypeAlias = Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)]


class StrictModel(BaseModel):
    """A body from outside: an unknown field is refused, nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_enum_values=True,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """The keys of a zone that sign its `report_url`s and the ids of its reservations.

    Args:
        current: signs.
        former: keys before the last changes that are still accepted, newest first.
        signs_ids: whether all replicas know ids that are signed.
    """

    current: bytes = field(repr=False)
    former: tuple[bytes, ...] = field(default=(), repr=False)
    signs_ids: bool = True

    @property
    def accepted(self) -> tuple[bytes, ...]:
        """Every key with which a signature may have been made."""
        return (self.current, *self.former)


# An answer of the ledger, in the field names of the API. Rendered as it is.
Answer: TypeAlias = dict[str, Any]


class Role(StrEnum):
    """The role of a caller; an operator has the rights of all others."""

    DIALER = "dialer"
    SOURCE = "source"
    OPERATOR = "operator"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryLimit:
    """A limit of one pool that lapses by itself, as the edge passes it to the ledger.

    Args:
        pool: its name.
        limit: calls at a time; the smaller of this and the policy's limit counts.
        ttl_ms: lapses after this time in ms, unless it is set again.
        scope: the campaigns whose pools the caller may limit; None: any pool.
        by: the actor, for the audit; None: not audited.

    Example:
        TemporaryLimit(pool="campaign:collections", limit=42, ttl_ms=15_000)
    """

    pool: str
    limit: int
    ttl_ms: int
    scope: Sequence[str] | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMemory:
    """Memory of one server of the store.

    Args:
        server: `host:port`, or the path of its socket.
        used_bytes: by data and buffers.
        limit_bytes: beyond which it refuses writes: `maxmemory`, else the memory of its machine.
    """

    server: str
    used_bytes: int
    limit_bytes: int

"""The service's answers as typed values. Unknown fields are ignored, absent ones have a default.

A service may be newer than its clients: whatever is not a grant is read as a deny, and a reason
that is not known here stays the word it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from admission.domain.outcomes import Reason
from admission.errors import Unavailable

if TYPE_CHECKING:
    pass

Body = Mapping[str, Any]

_REASONS: Final = frozenset(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The platform's newest count of the channel that was asked for, and its age in ms."""

    age_ms: int = 0
    total: int | None = None
    unused: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One call's claim, as granted.

    Args:
        id: opaque; it carries its zone.
        channel: launch on this one, whatever was asked.
        renew_within_ms: report by then, or it expires.
        report_url: where whoever has it may report, without credentials; None: nowhere.
    """

    id: str
    zone: str
    channel: str
    campaign: str
    mpp: str | None = None
    renew_within_ms: int | None = None
    report_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one pool says to one more call (`explain`)."""

    pool: str
    verdict: str
    in_use: int = 0
    limit: int | None = None
    headroom: int = 0
    room: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a grant and a deny have in common.

    Args:
        now: the zone's time in ms.
        reason: of a deny, or of granting less than was asked: a `Reason`, or a newer word.
        pool: the pool that limits.
        retry_after_ms: ask again then; None: only an operator can help.
        room: units left in the tightest pool.
    """

    now: int
    request_id: str
    zone: str
    channel: str
    campaign: str
    reason: str | None = None
    pool: str | None = None
    in_use: int | None = None
    limit: int | None = None
    retry_after_ms: int | None = None
    room: int | None = None
    snapshot: Snapshot | None = None
    dry_run: bool = False
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(_Answer):
    """It may not launch now. `admitted` is False."""

    admitted: bool = field(default=False, init=False)

    @property
    def said(self) -> str:
        """Why, in a line."""
        where = f" at {self.pool}" if self.pool else ""
        use = f" ({self.in_use} of {self.limit} in use)" if self.limit is not None else ""
        return f"{self.reason or 'denied'}{where}{use}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a reservation is after a report.

    Args:
        state: `live`, `ended` or `expired`; None: the service does not know it (any more).
        repeated: it changed nothing.
        adopted: it had been lost and is counted again.
    """

    id: str
    state: str | None
    repeated: bool = False
    adopted: bool = False
    renew_within_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A reservation as the service lists it; times are the zone's, in ms."""

    id: str
    zone: str
    state: str
    campaign: str
    channel: str
    mpp: str | None = None
    owner: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    outcome: str | None = None
    port_taken: bool = False
    granted_at: int = 0
    launched_at: int | None = None
    ended_at: int | None = None
    deadline: int | None = None
    pools: tuple[str, ...] = ()


def is_grant(body: Body) -> bool:
    """Whether it may launch: nothing but the very word says so."""
    return body.get("decision") == "grant"


def common_of(body: Body) -> dict[str, Any]:
    """The fields that `Granted` and `Denied` share."""
    verdicts = tuple(_verdict(one) for one in body.get("pools") or ())
    return _known(_Answer, body) | {
        "reason": _reason(body.get("reason")),
        "snapshot": _snapshot(body.get("snapshot")),
        "verdicts": verdicts,
    }


def denied_of(body: Body) -> Denied:
    """A deny."""
    return Denied(**common_of(body))


def reservations_of(body: Body) -> list[Reservation]:
    """What was granted and is live still: a repeat may list some that are not."""
    place = {"zone": body["zone"], "campaign": body["campaign"]}
    return [
        Reservation(**_known(Reservation, place | dict(one)))
        for one in body.get("reservations") or ()
        if one.get("state", "live") == "live"
    ]


def reported_of(body: Body) -> Reported:
    """The answer to a report; raises `Unavailable` for one that cannot be read."""
    try:
        return Reported(**_known(Reported, body))
    except TypeError:
        raise Unavailable("the answer to a report cannot be read") from None


def listed_of(zone: str, body: Body) -> Listed:
    """One entry of a page, or a single reservation."""
    fields = _known(Listed, {"zone": zone, **body})
    return Listed(**fields | {"pools": tuple(body.get("pools") or ())})


def _known(kind: type, body: Body) -> dict[str, Any]:
    names: Mapping[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return {name: body[name] for name in names if body.get(name) is not None}


def _reason(word: Any) -> str | None:
    return Reason(word) if word in _REASONS else word


def _snapshot(body: Any) -> Snapshot | None:
    return Snapshot(**_known(Snapshot, body)) if isinstance(body, dict) else None


def _verdict(body: Body) -> Verdict:
    return Verdict(**_known(Verdict, body))

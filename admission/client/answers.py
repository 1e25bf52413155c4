"""The answers of the service as typed values. Unknown fields are ignored.

A service may be newer than its clients: every decision other than `grant` is read as a denial, and
an unknown reason stays a string.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from admission.domain import Reason
from admission.errors import Unavailable

Body = Mapping[str, Any]

_REASONS: Final = frozenset(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The newest count of the platform for the requested channel.

    Args:
        age_ms: age of the count.
        total, unused: ports.

    Example:
        `Snapshot(age_ms=340, total=240, unused=9)`
    """

    age_ms: int = 0
    total: int | None = None
    unused: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The reservation of one granted call.

    Args:
        id: opaque; it contains the zone.
        channel: on which to launch, whatever channel was requested.
        renew_within_ms: without a report within this time the reservation expires.
        report_url: accepts reports without credentials; None: the service gave none.

    Example:
        `Reservation(id="East~x7Yk2mPq0aZ", zone="East", channel="sip", campaign="sales")`
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
    """The answer of one pool to one more call (`explain`).

    Args:
        verdict: `ok`, or the reason to deny.
        in_use, limit, headroom, room: calls; None: unlimited.

    Example:
        `Verdict(pool="channel:sip", verdict="ok", in_use=3, limit=10, room=7)`
    """

    pool: str
    verdict: str
    in_use: int = 0
    limit: int | None = None
    headroom: int = 0
    room: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """The fields that a grant and a denial share.

    Args:
        now: zone time in ms.
        reason: of a denial, or of a partial grant: a `Reason`, or a newer string.
        pool: the pool that limits.
        retry_after_ms: when to ask again; None: only an operator can change the answer.
        room: units left in the pool with the least room.
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
    """The launch is denied for now. `admitted` is False.

    Example:
        `Denied(now=1, request_id="r", zone="East", channel="sip", campaign="sales").admitted`
    """

    admitted: bool = field(default=False, init=False)

    @property
    def said(self) -> str:
        """The reason, in a line."""
        where = f" at {self.pool}" if self.pool else ""
        use = f" ({self.in_use} of {self.limit} in use)" if self.limit is not None else ""
        return f"{self.reason or 'denied'}{where}{use}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The state of a reservation after a report.

    Args:
        state: `live`, `ended` or `expired`; None: the service does not know the reservation.
        repeated: the report changed nothing.
        adopted: the reservation had been lost and is counted again.

    Example:
        `Reported(id="East~x7Yk2mPq0aZ", state="ended")`
    """

    id: str
    state: str | None
    repeated: bool = False
    adopted: bool = False
    renew_within_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A reservation as the service lists it. Times are zone times in ms.

    Example:
        `Listed(id="East~x7", zone="East", state="live", campaign="sales", channel="sip")`
    """

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
    """Return whether the decision is a grant. Every other value is a denial."""
    return body.get("decision") == "grant"


def read_shared_fields(body: Body) -> dict[str, Any]:
    """Return the fields that `Granted` and `Denied` share."""
    verdicts = tuple(_read_verdict(one) for one in body.get("pools") or ())
    return _select_fields(_Answer, body) | {
        "reason": _read_reason(body.get("reason")),
        "snapshot": _read_snapshot(body.get("snapshot")),
        "verdicts": verdicts,
    }


def read_denial(body: Body) -> Denied:
    """Return a denial."""
    return Denied(**read_shared_fields(body))


def read_reservations(body: Body) -> list[Reservation]:
    """Return the live reservations of a grant: a repeated answer may list ended ones."""
    shared = {"zone": body["zone"], "campaign": body["campaign"]}
    return [
        Reservation(**_select_fields(Reservation, shared | dict(one)))
        for one in body.get("reservations") or ()
        if one.get("state", "live") == "live"
    ]


def read_report(body: Body) -> Reported:
    """Return the answer to a report. Raises `Unavailable` if it cannot be read."""
    try:
        return Reported(**_select_fields(Reported, body))
    except TypeError:
        raise Unavailable("the answer to a report cannot be read") from None


def read_listed(zone: str, body: Body) -> Listed:
    """Return one entry of a page, or a single reservation."""
    fields = _select_fields(Listed, {"zone": zone, **body})
    return Listed(**fields | {"pools": tuple(body.get("pools") or ())})


def _select_fields(kind: type, body: Body) -> dict[str, Any]:
    names: Mapping[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return {name: body[name] for name in names if body.get(name) is not None}


def _read_reason(word: Any) -> str | None:
    return Reason(word) if word in _REASONS else word


def _read_snapshot(body: Any) -> Snapshot | None:
    return Snapshot(**_select_fields(Snapshot, body)) if isinstance(body, dict) else None


def _read_verdict(body: Body) -> Verdict:
    return Verdict(**_select_fields(Verdict, body))

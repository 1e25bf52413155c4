"""Deadlines: what is done for a reservation when its time has come."""

from tests.oracle.effects import expire, release
from tests.oracle.policy import kind
from tests.oracle.pools import fed, held_in, is_fresh
from tests.oracle.state import Reservation, Zone

SLICE = 100
RECHECK_MS = 500


def serve(zone: Zone) -> None:
    """Serve a bounded slice of what is due, oldest first."""
    due = sorted((r.due_at, r.id) for r in zone.reservations.values() if r.due_at < zone.now)
    for _, id_ in due[:SLICE]:
        serve_one(zone, zone.reservations[id_])


def serve_one(zone: Zone, one: Reservation) -> None:
    """Expire, release or forget one reservation, or look at it again later."""
    if one.state == "releasing":
        release(zone, one)
    elif one.state != "live":
        forget(zone, one)
    elif one.outcome != "unknown" or is_decided(zone, one):
        expire(zone, one)
    else:
        zone.put(one, due_at=get_recheck_time(zone, one))


def get_recheck_time(zone: Zone, one: Reservation) -> int:
    """When a launch that was given up is looked at next."""
    return min(one.deadline, zone.now + RECHECK_MS)


def is_decided(zone: Zone, one: Reservation) -> bool:
    """Whether a launch that was given up can happen no more, or is in every snapshot."""
    if zone.now > one.deadline:
        return True
    in_all = all(held_in(zone, one, pool) for pool in one.pools if is_watched(zone, pool))
    return zone.now > one.visible_by and in_all


def is_watched(zone: Zone, pool: str) -> bool:
    """Whether a pool's snapshot must show the call: not an MPP's that has lapsed."""
    if pool == "mpps":
        return pool in zone.snapshots  # without snapshots of channels there is none of it
    if kind(pool) != "mpp":
        return fed(zone, pool)
    return pool in zone.snapshots and is_fresh(zone, zone.snapshots[pool])


def forget(zone: Zone, one: Reservation) -> None:
    """Delete the record, and with a request's last reservation the request."""
    del zone.reservations[one.id]
    request = one.request
    if request and not any(other.request == request for other in zone.reservations.values()):
        zone.requests.pop(request, None)

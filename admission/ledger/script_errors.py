"""Errors in replies of the script as exceptions of this project."""

import logging
from collections.abc import Callable
from typing import Any, Final

from redis import exceptions

from admission.errors import (
    AdmissionError,
    CallerError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    TooFast,
    Unavailable,
)
from admission.ledger.policy_cache import PolicyLost
from admission.ledger.results import make_public_id
from admission.ledger.store.errors import translate

log = logging.getLogger(__name__)

_BEYOND_SCOPE: Final = {
    "id": "this reservation belongs to another campaign",
    "pool": "these credentials do not reach that pool",
}

_FAULTS: Final[dict[str, Callable[[str, str, Any], CallerError]]] = {
    "unknown_campaign": lambda zone, _, name: NotFound(f"zone {zone} knows no campaign {name}"),
    "unknown_pool": lambda zone, _, name: NotFound(f"zone {zone} knows no pool {name}"),
    "unknown_reservation": lambda zone, _, name: NotFound(
        f"no reservation {make_public_id(zone, name)}"
    ),
    "forbidden": lambda _, field, __: Forbidden(_BEYOND_SCOPE.get(field, _BEYOND_SCOPE["id"])),
    "too_many_records": lambda zone, _, wait_ms: TooFast(
        f"zone {zone} stores too many reservations for this campaign: see max_records",
        retry_after_s=wait_ms / 1000,
    ),
    "too_many_pools": lambda zone, _, name: Conflict(
        f"zone {zone} stores something of too many pools to begin with {name}: see max_pools"
    ),
    "too_many_pauses": lambda _, __, most: Conflict(f"{most} pools are paused: resume one first"),
    "min_count_above_burst": lambda _, field, pool: _invalid(
        field, f"is more than the burst of {pool}: its rate never lets so many through at once"
    ),
    "pool_not_allowed": lambda _, field, name: _invalid(
        field, f"{name} is not open to this campaign"
    ),
    "unknown_channel": lambda zone, field, name: _invalid(field, f"zone {zone} has no {name}"),
    "unknown_application": lambda zone, field, name: _invalid(field, f"zone {zone} has no {name}"),
    "unknown_mpp": lambda _, field, name: _invalid(field, f"{name} is not an MPP for this request"),
}


def _invalid(field: str, message: str) -> Invalid:
    return Invalid(FieldError(field=field, message=message))


def translate_reply(zone: str, error: str, value: str = "") -> AdmissionError:
    """The exception for a call that changed nothing.

    Args:
        value: for `aborted`, the error of Redis or of the script.
    """
    if error == "no_policy":
        return Unavailable(f"zone {zone} has no policy yet")
    if error == "oom":
        return translate(exceptions.OutOfMemoryError())
    if error == "aborted":
        log.error("ledger %s: a call was aborted and changed nothing: %s", zone, value)
        return translate(exceptions.ResponseError(value))
    return Unavailable(f"zone {zone} was written by another version of this service: {error}")


def translate_result(zone: str, result: dict[str, Any]) -> AdmissionError:
    """The exception for a fault of one operation."""
    code, field, value = result["error"], result.get("field", ""), result.get("value")
    if code == "conflict" and field == "request_id":
        return Conflict(f"request_id {value} came before with another body")
    if code == "conflict":
        return Conflict(f"the live policy is version {value}")
    if code == "lost":
        return PolicyLost(f"the policy of zone {zone} was lost and is being restored")
    if code in _FAULTS:
        return _FAULTS[code](zone, field, value)
    return AdmissionError("the ledger failed")

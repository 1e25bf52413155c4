"""The words of the house as values: what is asked, reported, photographed and answered.

Pydantic models are what comes in from outside: parsed once, trusted after. Everything else is
frozen. Nothing here knows Redis, HTTP, a clock or an event loop.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a launch is denied, in the order in which the ledger checks."""

    ZONE_PAUSED = "zone_paused"
    POOL_PAUSED = "pool_paused"
    BREAKER_OPEN = "breaker_open"
    RECOVERING = "recovering"
    NO_SNAPSHOT = "no_snapshot"
    STALE_SNAPSHOT = "stale_snapshot"
    RATE_LIMITED = "rate_limited"
    NO_CAPACITY = "no_capacity"
    MPP_FULL = "mpp_full"
    CAMPAIGN_LIMIT = "campaign_limit"
    POOL_FULL = "pool_full"
    RESERVED = "reserved"
    FAIR_SHARE = "fair_share"


class Outcome(StrEnum):
    """How a call ended, as its dialer knows it."""

    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    ABANDONED = "abandoned"
    BAD_NUMBER = "bad_number"
    FAILED = "failed"
    NO_RESOURCE = "no_resource"
    NOT_LAUNCHED = "not_launched"
    UNKNOWN = "unknown"


# What a platform's own code says of the outcome; it decides, whatever the dialer made of it.
# SIP 404/484/604: no such number (RFC 3261). The others: Huawei's per-call fail codes.
PLATFORM_CODES: Final[dict[str, Outcome]] = {
    "404": Outcome.BAD_NUMBER,
    "484": Outcome.BAD_NUMBER,
    "604": Outcome.BAD_NUMBER,
    "34606": Outcome.NO_RESOURCE,
    "01048": Outcome.NO_RESOURCE,
    "00602": Outcome.NO_RESOURCE,
    "00605": Outcome.NO_RESOURCE,
}

"""Results of an admission and of a call: why a launch was denied, how a call ended."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFacts:
    """One reason for a denial: its explanation, and what follows from a denial for it.

    The script has the same flags in `lua/rules/reasons.lua`; a test compares both.

    Args:
        name: the code in answers.
        meaning, dialer, operator: for docs/reasons.md: the cause, and what each of the two can do.
        short: for the dashboard; `{pool}` is the limiting pool.
        short_without_pool: the same when no pool is named; default: `short`.
        ended_by_snapshot: a newer snapshot may end the denial.
        contends: the campaign contends for the pool from now on.
        about_room: the denial states `in_use` and `limit` of the pool.
    """

    name: str
    meaning: str
    dialer: str
    operator: str
    short: str
    short_without_pool: str | None = None
    ended_by_snapshot: bool = False
    contends: bool = False
    about_room: bool = False


class Reason(StrEnum):
    """Why a launch is denied, in the order of the ledger's checks.

    >>> Reason.MPP_FULL
    <Reason.MPP_FULL: 'mpp_full'>
    >>> Reason.MPP_FULL.facts.about_room
    True
    """

    facts: ReasonFacts

    def __new__(cls, facts: ReasonFacts) -> Self:
        """The member is its name, a string; the facts are an attribute."""
        member = str.__new__(cls, facts.name)
        member._value_ = facts.name
        member.facts = facts
        return member

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The API's description explains each reason."""
        described = handler(schema)
        meanings = "\n".join(f"`{reason}`: {reason.facts.meaning}" for reason in cls)
        handler.resolve_ref_schema(described)["description"] = (
            f"Why a launch is denied, in the order of the checks.\n{meanings}"
        )
        return described

    ZONE_PAUSED = ReasonFacts(
        name="zone_paused",
        meaning="An operator stopped all grants of the zone.",
        dialer="Do not launch; ask again now and then.",
        operator="`admission resume ZONE` once the cause is gone.",
        short="The zone is paused by an operator",
    )
    POOL_PAUSED = ReasonFacts(
        name="pool_paused",
        meaning="An operator stopped the named pool: an MPP that is drained, a campaign, a trunk.",
        dialer="Ask for another MPP or trunk if there is a choice, else ask again now and then.",
        operator="`admission resume ZONE POOL`.",
        short="{pool} is paused by an operator",
        short_without_pool="Paused by an operator",
    )
    BREAKER_OPEN = ReasonFacts(
        name="breaker_open",
        meaning=(
            "Too many calls of the named campaign or pool failed lately; it is denied for a "
            "pause, then probed by one request at a time."
        ),
        dialer="Wait `retry_after_ms`; report outcomes honestly, a success closes the breaker.",
        operator="Look at the platform or the trunk; adjust `breaker` if it is too sensitive.",
        short="Circuit breaker of {pool} is open: too many calls failed",
        short_without_pool="Circuit breaker open: too many calls failed",
    )
    RECOVERING = ReasonFacts(
        name="recovering",
        meaning=(
            "The zone's state was lost or is new: older launches must be in a snapshot, or dead, "
            "before anything is granted."
        ),
        dialer=(
            "Wait `retry_after_ms`, a few seconds; report calls that are up with `reservation`, "
            "so that they count again."
        ),
        operator=(
            "Nothing; if it does not end, the platform delivers no snapshots: look at the zone's "
            "`sources`."
        ),
        short="Recovering: waiting until snapshots show earlier launches",
        ended_by_snapshot=True,
    )
    NO_SNAPSHOT = ReasonFacts(
        name="no_snapshot",
        meaning=(
            "The platform has not reported how many ports the channel has, or the count of a pool"
            " with `needs_snapshot`, such as an agent's, has not arrived yet."
        ),
        dialer="Wait `retry_after_ms`.",
        operator=(
            "Look at the zone's `sources`; a channel that the platform never counts needs a "
            "`capacity`."
        ),
        short="No port count from the platform yet",
        ended_by_snapshot=True,
    )
    STALE_SNAPSHOT = ReasonFacts(
        name="stale_snapshot",
        meaning="The newest snapshot is older than `max_age_ms`.",
        dialer="Wait `retry_after_ms`.",
        operator=(
            "Look at the zone's `sources`: the platform does not answer, or no counts are pushed."
            " The count of a named pool is forgotten after `max_call_ms`, and when policy drops the"
            " pool."
        ),
        short="The platform's port count is too old",
        ended_by_snapshot=True,
    )
    RATE_LIMITED = ReasonFacts(
        name="rate_limited",
        meaning="The named campaign, MPP, pool or zone has used up its launch rate.",
        dialer="Wait exactly `retry_after_ms`.",
        operator="Raise `rate_per_s` or `burst`.",
        short="{pool} is at its launch rate",
        short_without_pool="Launch rate reached",
        contends=True,
    )
    NO_CAPACITY = ReasonFacts(
        name="no_capacity",
        meaning="No port of the channel is free.",
        dialer="Wait `retry_after_ms`, or ask with `wait_ms`.",
        operator=(
            "More ports; true `claim_within_ms` and `visibility_lag_ms` free ports that are "
            "reserved only to be safe."
        ),
        short="No free {pool} port",
        short_without_pool="No free port",
        ended_by_snapshot=True,
        contends=True,
        about_room=True,
    )
    MPP_FULL = ReasonFacts(
        name="mpp_full",
        meaning="No port is free on the MPP that the call needs.",
        dialer="Ask for another MPP, or without naming one; else wait.",
        operator="Spread the application over more MPPs, or check their ports in `mpps`.",
        short="No free port on {pool}",
        short_without_pool="No free port on the MPP",
        ended_by_snapshot=True,
        contends=True,
        about_room=True,
    )
    CAMPAIGN_LIMIT = ReasonFacts(
        name="campaign_limit",
        meaning="The campaign has as many calls as its limit allows.",
        dialer="Wait until own calls end.",
        operator="Raise its `limit`; a temporary limit lapses by itself.",
        short="{pool} is at its limit",
        short_without_pool="Campaign at its limit",
        about_room=True,
    )
    POOL_FULL = ReasonFacts(
        name="pool_full",
        meaning="The named pool (a trunk, an agent) has no room.",
        dialer="Wait, or ask for another pool.",
        operator="Raise its `limit`, or add trunks or agents.",
        short="{pool} is full",
        short_without_pool="Trunk, agent or other pool full",
        contends=True,
        about_room=True,
    )
    RESERVED = ReasonFacts(
        name="reserved",
        meaning=(
            "Free units are reserved: headroom, other campaigns' guarantees, or higher priorities."
        ),
        dialer="Wait `retry_after_ms`.",
        operator=(
            "Lower `headroom`, `guarantee` or `priority_reserve`, or give the campaign a "
            "guarantee of its own."
        ),
        short="Free ports of {pool} are reserved for others",
        short_without_pool="Reserved for others",
        ended_by_snapshot=True,
        contends=True,
        about_room=True,
    )
    FAIR_SHARE = ReasonFacts(
        name="fair_share",
        meaning=(
            "Other campaigns contend for the named pool and have fewer units of it for their "
            "weight."
        ),
        dialer="Wait `retry_after_ms`; asking more often gains nothing.",
        operator="Change `weight`, `priority` or `guarantee`.",
        short="Fair share: other campaigns have less of {pool} for their weight",
        short_without_pool="Fair share: others have less",
        contends=True,
        about_room=True,
    )


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

# Words of call providers and of pages that post them, in lower case with `_`. An outcome that is
# known to have had a port lets the ledger reuse it at once, so a doubtful word has a careful one.
PROVIDER_OUTCOMES: Final[dict[str, Outcome]] = {
    "answered": Outcome.COMPLETED,
    "machine": Outcome.COMPLETED,
    "answering_machine": Outcome.COMPLETED,
    "voicemail": Outcome.COMPLETED,
    "fax": Outcome.COMPLETED,
    "human": Outcome.COMPLETED,
    "normal_clearing": Outcome.COMPLETED,
    "noanswer": Outcome.NO_ANSWER,
    "unanswered": Outcome.NO_ANSWER,
    "ring_timeout": Outcome.NO_ANSWER,
    "user_busy": Outcome.BUSY,
    "abandon": Outcome.ABANDONED,
    "invalid_number": Outcome.BAD_NUMBER,
    "unallocated_number": Outcome.BAD_NUMBER,
    "rejected": Outcome.FAILED,
    "call_rejected": Outcome.FAILED,
    "declined": Outcome.FAILED,
    "failure": Outcome.FAILED,
    "error": Outcome.FAILED,
    "congestion": Outcome.FAILED,
    "unreachable": Outcome.FAILED,
    "timeout": Outcome.UNKNOWN,
    "canceled": Outcome.UNKNOWN,
    "cancelled": Outcome.UNKNOWN,
}


def read_outcome(word: str) -> Outcome | None:
    """The outcome that a provider's word means; None: an unknown word.

    Example: `read_outcome("No-Answer")  # Outcome.NO_ANSWER`.
    """
    name = word.strip().lower().replace("-", "_").replace(" ", "_")
    return Outcome(name) if name in set(Outcome) else PROVIDER_OUTCOMES.get(name)

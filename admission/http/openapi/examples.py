"""Examples of requests and responses for the description. A test validates each with its model."""

from typing import Any, Final

from pydantic import BaseModel

from admission.domain.policy import ZonePolicy
from admission.http.schemas import responses
from admission.http.schemas.repairs import RotateKeys
from admission.http.schemas.requests import (
    AdmissionBatch,
    AdmissionRequest,
    End,
    GuidHandover,
    Launched,
    PushedSnapshot,
    Renew,
    SetLimit,
)

_ID: Final = "East~x7Yk2mPq0aZ4n-w0Qhs"
_REQUEST: Final = {"zone": "East", "channel": "sip", "campaign": "collections"}
_GRANT: Final = {
    "decision": "grant",
    "now": 1790000000123,
    "request_id": "r-81",
    **_REQUEST,
    "granted": 1,
    "launch_within_ms": 1000,
    "reservations": [
        {
            "id": _ID,
            "mpp": "mpp1",
            "channel": "sip",
            "renew_within_ms": 150000,
            "report_url": "https://admission.example.com/r/u5pQ0YqGvRk1Yl3m9cXwTg"
            f".{_ID}~collections",
        }
    ],
    "room": 36,
    "snapshot": {"age_ms": 412, "total": 200, "unused": 64},
}
_DENY: Final = {
    "decision": "deny",
    "now": 1790000000456,
    "request_id": "r-82",
    **_REQUEST,
    "granted": 0,
    "reservations": [],
    "reason": "mpp_full",
    "pool": "mpp:mpp1:sip",
    "in_use": 50,
    "limit": 50,
    "retry_after_ms": 730,
    "room": 0,
    "snapshot": {"age_ms": 390, "total": 200, "unused": 64},
}
_END: Final = {"outcome": "completed", "ended_at": 1790000042000, "platform_code": "34606"}
_KNOWN: Final = {"zone": "East", "channel": "sip", "campaign": "collections", "mpp": "mpp1"}
_REPORTED: Final = {"id": _ID, "now": 1790000042100, "state": "ended", "repeated": False}
_FORBIDDEN: Final = {
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
    "detail": "These credentials do not reach that campaign.",
}
_UNKNOWN: Final = {
    "type": "about:blank",
    "title": "Not found",
    "status": 404,
    "detail": "There is no such reservation.",
}

_PAUSED: Final = {
    "now": 1790000000123,
    "zone": "East",
    "paused": True,
    "changed": True,
    "version": 8,
}
_POLICY: Final = {
    "source": "epm",
    "channels": ["sip", "h323"],
    "mpps": {"mpp1": {"sip": 50, "rate_per_s": 10}},
    "campaigns": {"collections": {"limit": 80, "guarantee": 10}},
}

EXAMPLES: Final[dict[type[BaseModel], dict[str, Any]]] = {
    AdmissionRequest: {
        "one call": _REQUEST,
        "up to five, idempotent": {**_REQUEST, "request_id": "r-83", "count": 5, "wait_ms": 2000},
    },
    responses.Decision: {"granted": _GRANT, "denied": _DENY},
    AdmissionBatch: {"two": {"requests": [_REQUEST, {**_REQUEST, "campaign": "other"}]}},
    responses.DecisionResults: {"two": {"results": [{"status": 200, **_GRANT}, _FORBIDDEN]}},
    Launched: {
        "ringing": {"port_taken": True, "session_id": "0a1b", "mpp": "mpp1"},
        "with the reservation, for adoption": {"port_taken": True, "reservation": _KNOWN},
    },
    Renew: {"still up": {}, "with the reservation, for adoption": {"reservation": _KNOWN}},
    End: {"completed": _END, "not launched": {"outcome": "not_launched"}},
    responses.ReportAnswer: {"ended": _REPORTED},
    responses.ReportList: {
        "two": {"reports": [{"op": "end", "id": _ID}, {"op": "renew", "id": _ID}]}
    },
    responses.ReportResults: {"two": {"results": [{"status": 200, **_REPORTED}, _UNKNOWN]}},
    PushedSnapshot: {
        "a zone": {"taken_at": 1790000000000, "total": 200, "unused": {"sip": 64, "h323": 0}},
        "one MPP": {"taken_at": 1790000000000, "total": 50, "unused": {"sip": 9}, "mpp": "mpp1"},
        "an agent": {
            "taken_at": 1790000000000,
            "pools": {"agent:1001": {"total": 1, "unused": 0}},
        },
    },
    responses.PushAnswer: {
        "accepted": {"accepted": True, "now": 1790000000200},
        "refused": {
            "accepted": False,
            "now": 1790000000200,
            "reason": "out_of_order",
            "pool": "channel:sip",
            "refused": {"channel:sip": "out_of_order"},
        },
    },
    GuidHandover: {"session": {"guid": "4e2c0c76-5c2c-4b4e-9d3a-1f6a2f1b7c55.AgentGateway1"}},
    responses.HandOverAnswer: {
        "accepted": {"now": 1790000000123, "zone": "East", "agent": 1001, "pool": "agent:1001"}
    },
    responses.Time: {"now": {"now": 1790000000123}},
    RotateKeys: {"the old keys for an hour": {"keep_ms": 3600000}},
    SetLimit: {"42 for 15 s": {"limit": 42, "ttl_ms": 15000}},
    responses.LimitAnswer: {
        "set": {
            "now": 1790000000123,
            "zone": "East",
            "pool": "campaign:collections",
            "limit": 42,
            "temporary_limit": 42,
            "temporary_limit_until": 1790000015123,
        }
    },
    responses.PauseAnswer: {
        "MPP drained": {**_PAUSED, "pool": "mpp:mpp1"},
        "zone, paused before": {**_PAUSED, "pool": None, "changed": False},
    },
    ZonePolicy: {"small": _POLICY},
    responses.PolicyPatch: {
        "change a limit, remove a guarantee": {
            "campaigns": {"collections": {"limit": 50, "guarantee": None}}
        }
    },
    responses.PolicyAnswer: {
        "small": {
            "now": 1790000000123,
            "zone": "East",
            "version": 7,
            "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "policy": _POLICY,
            "paused": {"mpp:mpp1": 1789999990000},
        }
    },
}

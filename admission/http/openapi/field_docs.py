"""What the fields that callers send mean, for the description: model -> field -> sentence.

The models themselves only check; a test sees to it that every field they take is explained here.
"""

from typing import Any, Final

_OP: Final = "What is reported."
_ID: Final = "Id of the reservation."
_LAUNCHED: Final = {
    "port_taken": "It rings or is connected: its port is taken for certain.",
    "session_id": "The platform's own id of the call, kept for look-ups.",
    "mpp": "The MPP that placed the call; another than booked moves the reservation.",
    "reservation": "What the dialer still knows, to be taken up again if it is unknown here.",
}
_RENEW: Final = {"reservation": _LAUNCHED["reservation"]}
_END: Final = {
    "outcome": "How it ended; it decides whether the call is known to have had a port.",
    "ended_at": "When the call ended, in the zone's time; a future one is ignored.",
    "platform_code": "The platform's own code; a known one decides the outcome.",
}

MEANINGS: Final[dict[str, dict[str, str]]] = {
    "AdmissionRequest": {
        "campaign": "Who asks; must be in the token's scope and in the policy.",
        "zone": "Without: the configured default zone.",
        "channel": "Kind of port; without: the zone's first. `any`: launch on the answered one.",
        "request_id": "Key of repeats, per zone and campaign; without: made here.",
        "count": "Launches wanted.",
        "min_count": "Fewest worth having: fewer than that is a deny.",
        "application": "What will be launched; its MPPs and claim time are in the policy.",
        "mpp": "The MPP that will place the call, where the dialer knows it.",
        "pools": "Further named pools to hold, such as trunk:carrier-a.",
        "wait_ms": "Wait for room this long.",
        "owner": "Which dialer process asks, to list its reservations later.",
        "dry_run": "Decide, and take nothing.",
        "explain": "With dry_run: what every pool says.",
    },
    "AdmissionBatch": {"requests": "Each is decided by itself, in order."},
    "Launched": _LAUNCHED,
    "Renew": _RENEW,
    "End": _END,
    "LaunchedForm": {name: text for name, text in _LAUNCHED.items() if name != "reservation"},
    "EndForm": _END,
    "LaunchedItem": {**_LAUNCHED, "op": _OP, "id": _ID},
    "RenewItem": {**_RENEW, "op": _OP, "id": _ID},
    "EndItem": {**_END, "op": _OP, "id": _ID},
    "ReportList": {"reports": "Applied in order, each answered by itself."},
    "KnownReservation": {
        "zone": "As granted.",
        "channel": "As granted.",
        "campaign": "As asked.",
        "mpp": "Where the call is.",
        "pools": "The named pools that it holds.",
    },
    "PushedSnapshot": {
        "taken_at": "Zone time; the measurement did not begin before. A future one is refused.",
        "total": "Ports in all, used and unused.",
        "unused": "Channel to free ports.",
        "mpp": "It is of this MPP only.",
        "pools": "Named pools, each with its own counts.",
    },
    "PushedPool": {"total": "Units in all.", "unused": "Units free."},
    "GuidHandover": {
        "guid": "As the platform's `Set-GUID` said it; hand over each new one. It is shown nowhere."
    },
    "SetLimit": {
        "limit": "Calls at a time; policy's own limit still counts.",
        "ttl_ms": "It lapses after this, unless it is set again.",
    },
}


def explained(schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas with the meanings of their fields."""
    return {name: _explained(schema, MEANINGS.get(name, {})) for name, schema in schemas.items()}


def _explained(schema: dict[str, Any], meanings: dict[str, str]) -> dict[str, Any]:
    fields = {
        field: one | {"description": meanings[field]} if field in meanings else one
        for field, one in schema.get("properties", {}).items()
    }
    return schema | ({"properties": fields} if fields else {})

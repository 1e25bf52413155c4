"""Answers as JSON: compact, and with their fields in the order of the API's description."""

from typing import Any, Final

from aiohttp import hdrs, web
from pydantic_core import to_json

from admission.http.lean import LeanResponse
from admission.model import Answer

_JSON: Final = {hdrs.CONTENT_TYPE: "application/json"}
_ADMISSION_FIELDS: Final = (
    "decision", "now", "request_id", "zone", "channel", "campaign", "granted", "launch_within_ms",
    "reservations", "reason", "pool", "in_use", "limit", "retry_after_ms", "room", "snapshot",
)  # fmt: skip
_REPORT_FIELDS: Final = ("id", "now", "state", "repeated")


def encode(value: Any) -> bytes:
    """Compact JSON; a fifth of the time that `json.dumps` takes."""
    return to_json(value)


def json_response(value: Any) -> web.Response:
    """A 200 with this JSON."""
    return LeanResponse(body=encode(value), headers=_JSON)


def admission_answer(answer: Answer, zone: str, campaign: str) -> Answer:
    """A decision of the ledger as the API shows it."""
    if answer.get("zone") == zone and next(iter(answer)) == "decision":
        return answer  # in order already
    whole = {**answer, "zone": zone, "campaign": campaign}
    # Lua knows no empty list: a deny comes without one, or with an empty object.
    whole["reservations"] = whole.get("reservations") or []
    return _in_order(whole, _ADMISSION_FIELDS)


def report_answer(answer: Answer) -> Answer:
    """What became of a report, or a reservation, as the API shows it."""
    return _in_order(answer, _REPORT_FIELDS)


def _in_order(answer: Answer, first: tuple[str, ...]) -> Answer:
    return {name: answer[name] for name in first if name in answer} | answer

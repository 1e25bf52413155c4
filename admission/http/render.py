"""Answers as compact JSON. Their fields and the order of these are the decider's."""

from typing import Any, Final

from aiohttp import hdrs, web
from pydantic_core import to_json

from admission.http.lean import LeanResponse

_JSON: Final = {hdrs.CONTENT_TYPE: "application/json"}


def encode(value: Any) -> bytes:
    """Compact JSON; a fifth of the time that `json.dumps` takes."""
    return to_json(value)


def json_response(value: Any) -> web.Response:
    """A 200 with this JSON."""
    return LeanResponse(body=encode(value), headers=_JSON)

"""Bodies and queries from outside, parsed once: too large, not JSON, or a wrong field."""

import asyncio
from collections.abc import Collection
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from admission.errors import BadRequest, FieldError, Invalid
from admission.http.problems import UnsupportedMediaType

BODY_BYTES_MAX: Final = 1024 * 1024

JSON: Final = "application/json"

_BODY_WAIT_S: Final = 10.0

M = TypeVar("M", bound=BaseModel)


async def read_body(request: web.Request, media_types: Collection[str] = (JSON,)) -> bytes:
    """The body, empty if there is none.

    Args:
        media_types: as which it may be sent.

    Raises:
        BadRequest: it never came whole. UnsupportedMediaType: it is sent as something else.
        HTTPRequestEntityTooLarge: more than 1 MiB.
    """
    if not request.body_exists:
        return b""
    try:
        body = await _whole(request)
    except TimeoutError:
        raise BadRequest("The body did not arrive in time.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise BadRequest("The body is broken off or badly framed.") from None
    if body:
        _require_plain(request, media_types)
    return body


async def _whole(request: web.Request) -> bytes:
    content = request.content
    if content.is_eof():  # it came with its headers, as nearly always: no timer needed
        body = content.read_nowait()
        if len(body) > BODY_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX)
        return body
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX)
    async with asyncio.timeout(_BODY_WAIT_S):
        return await request.read()


def _require_plain(request: web.Request, media_types: Collection[str]) -> None:
    headers = request.headers
    is_plain = headers.get(hdrs.CONTENT_TYPE) == JSON and hdrs.CONTENT_ENCODING not in headers
    if is_plain and JSON in media_types:
        return
    # Also what keeps pages in a browser from posting here: they may send forms and text to any
    # address unasked, but not JSON; only a secret path takes forms.
    if request.content_type not in media_types:
        wanted = " or ".join(media_types)
        raise UnsupportedMediaType(f"Send the header: Content-Type: {wanted}.")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("Send the body as UTF-8.")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")


def load(body: bytes) -> Any:
    """The JSON as plain values; raises `BadRequest` (also for NaN, bad UTF-8, deep nesting)."""
    if not body:
        raise BadRequest("The body is empty; send JSON.")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


def parse(model: type[M], body: bytes) -> M:
    """The body as this model; raises `BadRequest` or `Invalid`."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        load(body)  # tells what is no JSON at all from a wrong field
        raise invalid(error) from None


def validate(model: type[M], value: Any) -> M:
    """Plain values as this model; raises `Invalid`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Invalid:
    """The wrong fields, without the values that came in them."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return Invalid(*(FieldError(field=_path(one), message=_message(one)) for one in found))


def _path(one: ErrorDetails) -> str:
    return ".".join(str(part) for part in one["loc"]) or "body"


def _message(one: ErrorDetails) -> str:
    known = {"missing": "This field is required", "extra_forbidden": "There is no such field"}
    return known.get(one["type"]) or one["msg"].removeprefix("Value error, ")


def once_each(request: web.Request) -> dict[str, str]:
    """The parameters; raises `Invalid` if one is given twice."""
    named = dict(request.query)
    if len(named) != len(request.query):
        raise Invalid(FieldError(field="query", message="A parameter is given twice"))
    return named

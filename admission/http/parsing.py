"""Parsing of request bodies and queries: size limit, media type, JSON, fields."""

import asyncio
from collections.abc import Collection
from functools import partial
from itertools import chain, islice
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from admission.domain.types import TEXT
from admission.errors import BadRequest, FieldError, Invalid
from admission.http.problems import ERRORS_MAX, UnsupportedMediaType
from admission.tasks import TimeSlices

BODY_BYTES_MAX: Final = 1024 * 1024

JSON: Final = "application/json"

# Bounds on the structure of a body, which is counted before it is parsed: a body of 1 MiB has room
# for 250,000 fields and 500,000 empty lists, of which each takes 0.1 to 0.2 us of the event loop.
# More fields than any accepted body has: one object, a snapshot of 2000 pools, 1000 reports that
# restate their reservations, the largest policy.
OBJECT_FIELDS_MAX: Final = 1_000
SNAPSHOT_FIELDS_MAX: Final = 20_000
BATCH_FIELDS_MAX: Final = 40_000
FIELDS_MAX: Final = 60_000
_VALUES_PER_FIELD: Final = 2  # a list has values without a name
# A body up to this size is validated in one pass, however many of its fields are wrong.
_ONE_PASS_BYTES_MAX: Final = 4 * 1024
_SHORT_BYTES_MAX: Final = 16 * 1024  # parsed within 0.2 ms
_CACHED_BYTES_MAX: Final = 256 * 1024
_PART: Final = 100  # entries of a large table that are validated together

_BODY_TIMEOUT_S: Final = 10.0

M = TypeVar("M", bound=BaseModel)


async def read_body(request: web.Request, media_types: Collection[str] = (JSON,)) -> bytes:
    """Read the body; empty if there is none.

    Args:
        media_types: accepted media types.

    Raises:
        BadRequest: the body is incomplete. UnsupportedMediaType: it has another media type.
        HTTPRequestEntityTooLarge: more than 1 MiB.
    """
    if not request.body_exists:
        return b""
    try:
        body = await _read_whole(request)
    except TimeoutError:
        raise BadRequest("The body did not arrive in time.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise BadRequest("The body is broken off or badly framed.") from None
    if body:
        _check_media_type(request, media_types)
    return body


async def _read_whole(request: web.Request) -> bytes:
    content = request.content
    if content.is_eof():  # it arrived with the headers, as nearly always: no timer needed
        body = content.read_nowait()
        if len(body) > BODY_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX)
        return body
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX)
    async with asyncio.timeout(_BODY_TIMEOUT_S):
        return await request.read()


def _check_media_type(request: web.Request, media_types: Collection[str]) -> None:
    headers = request.headers
    is_plain = headers.get(hdrs.CONTENT_TYPE) == JSON and hdrs.CONTENT_ENCODING not in headers
    if is_plain and JSON in media_types:
        return
    # Also protects against cross-site requests: a browser sends forms and text to any origin
    # without a preflight, but not JSON. Only a secret path accepts forms.
    if request.content_type not in media_types:
        wanted = " or ".join(media_types)
        raise UnsupportedMediaType(f"Send the header: Content-Type: {wanted}.")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("Send the body as UTF-8.")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")


def load(body: bytes, fields_max: int = OBJECT_FIELDS_MAX) -> Any:
    """Parse JSON into plain values.

    Args:
        fields_max: fields, lists and objects that it may have; and twice as many values.

    Raises:
        BadRequest: it is no JSON, has NaN, bad UTF-8, deep nesting or too many lists and objects.
        Invalid: too many fields or values.
    """
    if not body:
        raise BadRequest("The body is empty; send JSON.")
    _check_structure(body, fields_max)
    try:
        # The cache of strings slows down what has many different ones.
        return from_json(body, allow_inf_nan=False, cache_strings=len(body) <= _CACHED_BYTES_MAX)
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


async def load_batch(slices: TimeSlices, body: bytes) -> Any:
    """As `load`, for a batch, which shares the event loop with other requests."""
    work = partial(load, body, BATCH_FIELDS_MAX)
    if len(body) <= _SHORT_BYTES_MAX:
        return work()
    return await slices.run_alone(work)


def _check_structure(body: bytes, fields_max: int) -> None:
    """Raise `Invalid` if parsing would take long. Characters inside of strings count as well."""
    if len(body) <= fields_max:
        return
    if body.count(b"[") + body.count(b"{") > fields_max:
        raise BadRequest(f"The body has more than {fields_max} lists and objects.")
    if body.count(b":") > fields_max:
        message = f"Must have at most {fields_max} fields"
        raise Invalid(FieldError(field="body", message=message))
    if body.count(b",") > _VALUES_PER_FIELD * fields_max:
        message = f"Must have at most {_VALUES_PER_FIELD * fields_max} values"
        raise Invalid(FieldError(field="body", message=message))


def parse(model: type[M], body: bytes, fields_max: int = OBJECT_FIELDS_MAX) -> M:
    """Parse the body into this model; raises `BadRequest` or `Invalid`."""
    if len(body) > _ONE_PASS_BYTES_MAX:
        return validate(model, load(body, fields_max))
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        load(body)  # raises for a body that is no JSON
        raise invalid(error) from None


def validate(model: type[M], value: Any) -> M:
    """Validate plain values as this model; raises `Invalid` with the first errors.

    Pydantic reports every error of a value, which takes half a second for the 200,000 that fit into
    a body. Surplus fields are left out, and large tables are validated in parts until one is wrong.
    """
    try:
        if isinstance(value, dict):
            value = _drop_surplus(model, value)
            _check_large_tables(model, value)
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error) from None


def _drop_surplus(model: type[M], value: dict[str, Any]) -> dict[str, Any]:
    """Without unknown fields beyond those that an answer lists; the others are refused anyway."""
    known = model.model_fields
    if len(value) <= len(known) + ERRORS_MAX:
        return value
    surplus = islice((name for name in value if name not in known), ERRORS_MAX)
    kept = dict.fromkeys(chain(known, surplus))
    return {name: value[name] for name in kept if name in value}


def _check_large_tables(model: type[M], value: dict[str, Any]) -> None:
    """Raise `ValidationError` for the first part of a large table that is wrong."""
    tables = {
        name: list(table.items())
        for name, table in value.items()
        if isinstance(table, dict) and len(table) > _PART
    }
    heads = {**value, **{name: dict(entries[:_PART]) for name, entries in tables.items()}}
    for name, entries in tables.items():
        for at in range(0, len(entries), _PART):
            model.model_validate({**heads, name: dict(entries[at : at + _PART])})


def invalid(error: ValidationError) -> Invalid:
    """The exception that names every invalid field, without its value, which may be a secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return Invalid(
        *(FieldError(field=_format_path(one), message=_format_message(one)) for one in found)
    )


def _format_path(one: ErrorDetails) -> str:
    return ".".join(str(part) for part in one["loc"]) or "body"


def _format_message(one: ErrorDetails) -> str:
    if one["type"] == "string_pattern_mismatch" and TEXT in one["msg"]:
        return "Must have no control characters and no invisible ones"
    texts = {"missing": "This field is required", "extra_forbidden": "There is no such field"}
    return texts.get(one["type"]) or one["msg"].removeprefix("Value error, ")


def once_each(request: web.Request) -> dict[str, str]:
    """The query parameters; raises `Invalid` if one is given twice."""
    parameters = dict(request.query)
    if len(parameters) != len(request.query):
        raise Invalid(FieldError(field="query", message="A parameter is given twice"))
    return parameters

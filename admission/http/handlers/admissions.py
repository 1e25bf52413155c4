"""*May I launch?*: single admission requests and batches.

A batch is answered when all of its requests are decided: a request that waits for room delays the
answers to the others, while their launch times run. Requests that wait belong in HTTP requests of
their own.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache, partial
from hashlib import blake2b
from time import perf_counter
from typing import Any, Final, TypeAlias

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from admission.domain import Answer
from admission.errors import AdmissionError, Invalid
from admission.http.auth.tokens import Caller
from admission.http.charges import charge_units
from admission.http.context import APP_CONTEXT, CALLER, CALLER_KEY
from admission.http.decider import Zone
from admission.http.handlers.batch import respond, respond_to_each
from admission.http.parsing import load_batch, parse, read_body, validate
from admission.http.responses import json_response
from admission.http.route import BODY_FAULTS, CALLER_FAULTS, DIALER, Route
from admission.http.schemas import responses
from admission.http.schemas.requests import AdmissionBatch, AdmissionRequest, RawAdmissionBatch
from admission.http.scope import find_zone_or_default
from admission.http.server.connection import CancelOnDisconnect, has_disconnected
from admission.telemetry import log_decision

Operation: TypeAlias = dict[str, Any]
Parsed: TypeAlias = AdmissionRequest | Invalid

_REQUESTS: Final = TypeAdapter(list[AdmissionRequest])
_FIELDS: Final = len(AdmissionRequest.model_fields)
# Some 100 requests are parsed in one pass, in two thirds of the time that two passes take.
_ONE_PASS_BYTES_MAX: Final = 16 * 1024

_OPTIONAL: Final = ("channel", "application", "mpp", "pools", "dry_run", "explain")


async def request_admission(request: web.Request) -> web.Response:
    """`POST /v1/admissions`."""
    admission = parse(AdmissionRequest, await read_body(request))
    charge_units(request, admission.count)
    with _WithdrawOnDisconnect(request) as pending:
        return json_response(await _decide(request, admission, pending))


async def request_admissions(request: web.Request) -> web.Response:
    """`POST /v1/admissions/batch`."""
    batch = await _parse_batch(request, await read_body(request))
    charge_units(request, sum(_count_units(one) for one in batch))
    with _WithdrawOnDisconnect(request) as pending:
        if any(isinstance(one, AdmissionRequest) and one.wait_ms for one in batch):
            decisions = [partial(_decide_parsed, request, one, pending) for one in batch]
            return await respond_to_each(request, decisions)
        return await respond(request, await _decide_batch(request, batch, pending))


def admission_operation(
    admission: AdmissionRequest, caller: Caller, operation_id: str
) -> Operation:
    """Build the ledger's `admit` (lua/README.md); fields without a value are left out.

    Args:
        admission: the request; its zone is not part of the operation.
        caller: the default of `owner`.
        operation_id: a new, unguessable one (`ids.py`); the id of its first reservation.
    """
    operation: Operation = {
        "op": "admit",
        "id": operation_id,
        "request_id": admission.request_id or f"r-{operation_id}",
        "campaign": admission.campaign,
        "owner": admission.owner or caller.name,
        "body": compute_digest(admission),
    }
    if admission.count != 1:  # the script reads what is left out as 1
        operation |= {"count": admission.count, "min_count": admission.min_count}
    for name in _OPTIONAL:
        if value := getattr(admission, name):
            operation[name] = value
    return operation


def compute_digest(admission: AdmissionRequest) -> str:
    """A digest of the fields that decide: a repeat has that of the first request.

    A repeat may differ in `wait_ms`, `owner` and `explain`.
    """
    pools = tuple(sorted(admission.pools)) if admission.pools else ()
    return _hash_fields(
        (
            admission.channel,
            admission.count,
            admission.min_count,
            admission.application,
            admission.mpp,
            pools,
        )
    )


@lru_cache(maxsize=1024)  # most requests of a dialer have equal fields
def _hash_fields(fields: tuple[object, ...]) -> str:
    digest = blake2b(repr(fields).encode(), digest_size=8).digest()
    return urlsafe_b64encode(digest)[:-1].decode()


class _Pending:
    """The operations of a request that may hold a grant which its client has not received."""

    __slots__ = ("_operations",)

    def __init__(self) -> None:
        self._operations: dict[str, tuple[Zone, Operation]] = {}

    def add(self, zone: Zone, operation: Operation) -> None:
        """Register an operation before it is sent. A dry run grants nothing."""
        if "dry_run" not in operation:
            self._operations[operation["id"]] = (zone, operation)

    def settle(self, operation: Operation, answer: Answer) -> None:
        """Forget an operation that was denied."""
        if not answer["granted"]:
            self._operations.pop(operation["id"], None)

    def withdraw(self) -> None:
        """Take back every grant."""
        for zone, operation in self._operations.values():
            zone.withdraw(operation)


class _WithdrawOnDisconnect:
    """Takes grants back if the client disconnects before the first byte of the response."""

    __slots__ = ("_cancelled", "_pending", "_request")

    def __init__(self, request: web.Request) -> None:
        self._cancelled = CancelOnDisconnect(request)
        self._request = request
        self._pending = _Pending()

    def __enter__(self) -> _Pending:
        self._cancelled.__enter__()
        return self._pending

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        self._cancelled.__exit__()
        if self._is_lost(kind):
            self._pending.withdraw()

    def _is_lost(self, kind: type[BaseException] | None) -> bool:
        if kind is None:
            return has_disconnected(self._request)
        # An Exception becomes a problem response: nothing was granted.
        return not issubclass(kind, Exception)


def _count_units(one: Parsed) -> int:
    return 1 if isinstance(one, Invalid) else one.count


async def _parse_batch(request: web.Request, body: bytes) -> Sequence[Parsed]:
    """Parse a batch; an invalid request fails alone."""
    if len(body) <= _ONE_PASS_BYTES_MAX:
        with suppress(ValidationError):
            return AdmissionBatch.model_validate_json(body).requests
    slices = request.app[APP_CONTEXT].slices
    batch = validate(RawAdmissionBatch, await load_batch(slices, body))
    parsed = await slices.run(batch.requests, _parse_slice)
    return [one for some in parsed for one in some]


def _parse_slice(raws: Sequence[dict[str, Any]]) -> list[Parsed]:
    if all(len(raw) <= _FIELDS for raw in raws):  # else one has a field that is unknown
        with suppress(ValidationError):
            return [*_REQUESTS.validate_python(raws)]  # 3/4 of the time of one after the other
    return [_parse_one(raw) for raw in raws]


def _parse_one(raw: dict[str, Any]) -> Parsed:
    try:
        return validate(AdmissionRequest, raw)
    except Invalid as fault:
        return fault


async def _decide_parsed(request: web.Request, admission: Parsed, pending: _Pending) -> Answer:
    if isinstance(admission, Invalid):
        raise admission
    return await _decide(request, admission, pending)


async def _decide(request: web.Request, admission: AdmissionRequest, pending: _Pending) -> Answer:
    zone = _find_zone(request, admission.zone, admission.campaign)
    context = request.app[APP_CONTEXT]
    keys = await zone.get_keys()  # before anything is granted
    started = perf_counter()
    new_id = context.ids.new_of_reservation
    operation = admission_operation(admission, request[CALLER], new_id(keys))
    pending.add(zone, operation)
    answer = await zone.admit(operation, admission.wait_ms, request[CALLER_KEY])
    # The duration of a request that may wait for room is not a decision time.
    seconds = None if admission.wait_ms else perf_counter() - started
    context.telemetry.count_decisions(zone.name, (answer,), seconds)
    pending.settle(operation, answer)
    log_decision(answer)
    context.report_links.add_links(request, keys.current, answer)
    return answer


async def _decide_batch(
    request: web.Request, batch: Sequence[Parsed], pending: _Pending
) -> list[Answer | BaseException]:
    """Decide the requests of each zone in one call, which shares the cost of a call."""
    results: list[Answer | BaseException] = [Invalid()] * len(batch)
    zones: dict[Zone, list[tuple[int, AdmissionRequest]]] = {}
    find_zone = cache(partial(_find_zone, request))

    def find_zones(some: Sequence[tuple[int, Parsed]]) -> None:
        for position, admission in some:
            if isinstance(admission, Invalid):
                results[position] = admission
                continue
            try:
                zone = find_zone(admission.zone, admission.campaign)
            except AdmissionError as fault:
                results[position] = fault
            else:
                zones.setdefault(zone, []).append((position, admission))

    await request.app[APP_CONTEXT].slices.run(list(enumerate(batch)), find_zones)
    calls = (
        _decide_in_zone(request, zone, [admission for _, admission in placed], pending)
        for zone, placed in zones.items()
    )
    for placed, answers in zip(zones.values(), await asyncio.gather(*calls), strict=True):
        for (position, _), answer in zip(placed, answers, strict=True):
            results[position] = answer
    return results


async def _decide_in_zone(
    request: web.Request, zone: Zone, admissions: Sequence[AdmissionRequest], pending: _Pending
) -> Sequence[Answer | BaseException]:
    context, caller = request.app[APP_CONTEXT], request[CALLER]
    started, operations = perf_counter(), list[Operation]()
    try:
        keys = await zone.get_keys()  # before anything is granted

        def build(some: Sequence[AdmissionRequest]) -> None:
            for one in some:
                new_id = context.ids.new_of_reservation(keys)
                operations.append(admission_operation(one, caller, new_id))
                pending.add(zone, operations[-1])

        await context.slices.run(admissions, build)
        answers = await zone.admit_batch(operations, request[CALLER_KEY])
    except Exception as fault:
        return [fault] * len(admissions)
    seconds = perf_counter() - started

    def settle(some: Sequence[tuple[Operation, Answer | AdmissionError]]) -> list[Answer]:
        decisions = []
        for operation, answer in some:
            if not isinstance(answer, AdmissionError):
                pending.settle(operation, answer)
                log_decision(answer)
                decisions.append(answer)
        context.report_links.add_links(request, keys.current, *decisions)
        return decisions

    settled = await context.slices.run(list(zip(operations, answers, strict=True)), settle)
    decisions = [one for some in settled for one in some]
    context.telemetry.count_decisions(zone.name, decisions, seconds)
    return answers


def _find_zone(request: web.Request, name: str | None, campaign: str) -> Zone:
    zone = find_zone_or_default(request, name)
    request[CALLER].require_campaign(campaign)
    return zone


ADMISSION_ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/admissions",
        handler=request_admission,
        roles=DIALER,
        tag="Admissions",
        summary="May I launch?",
        answer=responses.Decision,
        body=AdmissionRequest,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404, 409),
    ),
    Route(
        method="POST",
        path="/v1/admissions/batch",
        handler=request_admissions,
        roles=DIALER,
        tag="Admissions",
        summary="Up to 1000 admission requests, each decided by itself, in order",
        answer=responses.DecisionResults,
        body=AdmissionBatch,
        faults=(*CALLER_FAULTS, *BODY_FAULTS),
    ),
)

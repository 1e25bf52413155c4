"""*May I launch?*, alone and in batches.

A batch is answered when all of its asks are decided: one that waits for room makes all others wait,
while the time to launch what they were granted runs. Such asks belong into requests of their own.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from hashlib import blake2b
from time import perf_counter
from typing import Any, Final, TypeAlias

from aiohttp import web
from pydantic import ValidationError

from admission.domain.types import Answer
from admission.errors import AdmissionError, Invalid
from admission.http.auth.report_links import add_links
from admission.http.auth.tokens import Caller
from admission.http.context import APP_CONTEXT, CALLER
from admission.http.decider import Zone
from admission.http.handlers.batch import answer_each, answers_of
from admission.http.parsing import load, parse, read_body, validate
from admission.http.responses import json_response
from admission.http.route import (
    BODY_FAULTS,
    CALLER_FAULTS,
    DIALER,
    Route,
)
from admission.http.schemas import responses
from admission.http.schemas.requests import (
    AdmissionBatch,
    AdmissionRequest,
    RawAdmissionBatch,
)
from admission.http.scope import asked_zone
from admission.http.server.connection import CancelOnDisconnect, has_disconnected
from admission.telemetry.logs import log_decision

_OPTIONAL = ("channel", "application", "mpp", "pools", "dry_run", "explain")

Op: TypeAlias = dict[str, Any]


async def request_admission(request: web.Request) -> web.Response:
    """`POST /v1/admissions`."""
    ask = parse(AdmissionRequest, await read_body(request))
    with _WithdrawOnHangup(request) as pending:
        return json_response(await _decide(request, ask, pending))


async def request_admissions(request: web.Request) -> web.Response:
    """`POST /v1/admissions/batch`."""
    asks = _asks(await read_body(request))
    with _WithdrawOnHangup(request) as pending:
        if any(isinstance(ask, AdmissionRequest) and ask.wait_ms for ask in asks):
            return await answer_each(request, (_answer(request, ask, pending) for ask in asks))
        return answers_of(request, await _decide_all(request, asks, pending))


def _asks(body: bytes) -> Sequence[AdmissionRequest | Invalid]:
    """The asks of a batch; a bad one fails alone."""
    try:
        return AdmissionBatch.model_validate_json(
            body
        ).requests  # at once: half of the time for each
    except ValidationError:
        return [_ask(raw) for raw in validate(RawAdmissionBatch, load(body)).requests]


def _ask(raw: dict[str, Any]) -> AdmissionRequest | Invalid:
    try:
        return validate(AdmissionRequest, raw)
    except Invalid as fault:
        return fault


class _Pending:
    """The operations of a request that may hold a grant which its client has not received."""

    __slots__ = ("_operations",)

    def __init__(self) -> None:
        self._operations: dict[str, tuple[Zone, Op]] = {}

    def add(self, zone: Zone, operation: Op) -> None:
        """Register an operation before it is sent. A dry run grants nothing."""
        if "dry_run" not in operation:
            self._operations[operation["id"]] = (zone, operation)

    def settle(self, operation: Op, answer: Answer) -> None:
        """Forget an operation that was denied."""
        if not answer["granted"]:
            self._operations.pop(operation["id"], None)

    def withdraw(self) -> None:
        """Take back every grant."""
        for zone, operation in self._operations.values():
            zone.withdraw(operation)


class _WithdrawOnHangup:
    """Takes grants back if the client hangs up before the first byte of the response."""

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
        return not issubclass(kind, Exception)  # else a problem is answered: nothing was granted


async def _answer(
    request: web.Request, ask: AdmissionRequest | Invalid, pending: _Pending
) -> Answer:
    if isinstance(ask, Invalid):
        raise ask
    return await _decide(request, ask, pending)


async def _decide_all(
    request: web.Request, asks: Sequence[AdmissionRequest | Invalid], pending: _Pending
) -> list[Answer | BaseException]:
    """Decide all, those of a zone together: what one ask costs alone is paid once for all."""
    found: list[Answer | BaseException] = [Invalid()] * len(asks)
    zones: dict[Zone, list[tuple[int, AdmissionRequest, Op]]] = {}
    zone_of = cache(partial(_zone_of, request))
    caller, new_id = request[CALLER], request.app[APP_CONTEXT].ids.new
    for place, ask in enumerate(asks):
        if isinstance(ask, Invalid):
            found[place] = ask
            continue
        try:
            zone = zone_of(ask.zone, ask.campaign)
        except AdmissionError as fault:
            found[place] = fault
        else:
            zones.setdefault(zone, []).append(
                (place, ask, admission_operation(ask, caller, new_id))
            )
    works = (_decide_zone(request, zone, some, pending) for zone, some in zones.items())
    for some, answers in zip(zones.values(), await asyncio.gather(*works), strict=True):
        for (place, _, _), answer in zip(some, answers, strict=True):
            found[place] = answer
    return found


async def _decide_zone(
    request: web.Request,
    zone: Zone,
    asks: list[tuple[int, AdmissionRequest, Op]],
    pending: _Pending,
) -> Sequence[Answer | BaseException]:
    started = perf_counter()
    try:
        secret = await zone.get_secret()  # before anything is granted
        for _, _, op in asks:
            pending.add(zone, op)
        answers = await zone.admit_batch([op for _, _, op in asks])
    except Exception as fault:
        return [fault] * len(asks)
    seconds = perf_counter() - started
    decided = [one for one in answers if not isinstance(one, AdmissionError)]
    request.app[APP_CONTEXT].telemetry.count_decisions(zone.name, decided, seconds)
    base = request.app[APP_CONTEXT].report_links.base_of(request)
    return [
        answer if isinstance(answer, AdmissionError) else _shown(base, op, answer, secret, pending)
        for (_, _, op), answer in zip(asks, answers, strict=True)
    ]


def _zone_of(request: web.Request, zone: str | None, campaign: str) -> Zone:
    found = asked_zone(request, zone)
    request[CALLER].require_campaign(campaign)
    return found


def _shown(base: str, op: Op, answer: Answer, secret: bytes, pending: _Pending) -> Answer:
    """The decision as the client receives it."""
    pending.settle(op, answer)
    log_decision(answer)
    add_links(base, secret, answer)
    return answer


async def _decide(request: web.Request, ask: AdmissionRequest, pending: _Pending) -> Answer:
    zone = _zone_of(request, ask.zone, ask.campaign)
    app = request.app
    secret = await zone.get_secret()  # before anything is granted
    started = perf_counter()
    op = admission_operation(ask, request[CALLER], app[APP_CONTEXT].ids.new)
    pending.add(zone, op)
    answer = await zone.admit(op, ask.wait_ms)
    # A wait for room says nothing of how fast decisions are.
    seconds = None if ask.wait_ms else perf_counter() - started
    app[APP_CONTEXT].telemetry.count_decisions(zone.name, (answer,), seconds)
    base = app[APP_CONTEXT].report_links.base_of(request)
    return _shown(base, op, answer, secret, pending)


def admission_operation(
    ask: AdmissionRequest, caller: Caller, new_id: Callable[[], str]
) -> dict[str, Any]:
    """The ledger's `admit` for an ask (lua/README.md). What was not asked is left out.

    Args:
        ask: what was asked; its zone is not part of the operation.
        caller: whose name stands in for an `owner` that was not given.
        new_id: makes 11 URL-safe characters that nobody guesses.
    """
    made = new_id()
    op: dict[str, Any] = {
        "op": "admit",
        "id": made,
        "request_id": ask.request_id or f"r-{made}",
        "campaign": ask.campaign,
        "count": ask.count,
        "min_count": ask.min_count,
        "owner": ask.owner or caller.name,
        "body": digest_of(ask),
    }
    for name in _OPTIONAL:
        if value := getattr(ask, name):
            op[name] = value
    return op


def digest_of(ask: AdmissionRequest) -> str:
    """What tells a repeat from another ask under the same request_id: the fields that decide.

    How long to wait, who owns it and whether to explain may differ between an ask and its repeat.
    """
    pools = tuple(sorted(ask.pools)) if ask.pools else ()
    return _digest((ask.channel, ask.count, ask.min_count, ask.application, ask.mpp, pools))


@lru_cache(maxsize=1024)  # nearly all asks of a dialer are alike
def _digest(deciding: tuple[object, ...]) -> str:
    digest = blake2b(repr(deciding).encode(), digest_size=8).digest()
    return urlsafe_b64encode(digest)[:-1].decode()


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
        summary="Up to 1000 asks, each decided by itself, in order",
        answer=responses.DecisionResults,
        body=AdmissionBatch,
        faults=(*CALLER_FAULTS, *BODY_FAULTS),
    ),
)

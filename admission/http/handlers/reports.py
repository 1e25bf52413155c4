"""Reports on calls (launched, renew, end): single, by signed link, and in batches."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.domain import Answer, Outcome
from admission.domain.outcomes import read_outcome
from admission.domain.types import SigningKeys
from admission.errors import AdmissionError, FieldError, Invalid, NotFound
from admission.http.auth import report_links
from admission.http.auth.report_links import VerifiedReport
from admission.http.auth.tokens import ANONYMOUS
from admission.http.charges import charge_units, count_request, mark_known
from admission.http.context import APP_CONTEXT, CALLER, CALLER_KEY
from admission.http.decider import Zone
from admission.http.handlers.batch import respond
from admission.http.ids import Proof, prove
from admission.http.parsing import JSON, load, load_batch, parse, read_body, validate
from admission.http.responses import json_response
from admission.http.route import (
    ANYONE,
    BODY_FAULTS,
    CALLER_FAULTS,
    DIALER,
    Route,
)
from admission.http.schemas import responses
from admission.http.schemas.forms import FORM, FORMS, parse_form
from admission.http.schemas.requests import (
    End,
    KnownReservation,
    Launched,
    Renew,
    ReportBatch,
    ReportVerb,
)
from admission.http.scope import find_zone_of_id
from admission.telemetry import RareLog

log = logging.getLogger(__name__)
_unknown_outcomes: Final = RareLog(log)

Report = Launched | Renew | End

_MODELS: Final[dict[str, type[Launched] | type[Renew] | type[End]]] = {
    "launched": Launched,
    "renew": Renew,
    "end": End,
}


def report_one(verb: ReportVerb) -> Handler:
    """The handler of `POST /v1/reservations/{id}/<verb>`. An absent body is an empty object."""
    model = _MODELS[verb]

    async def handler(request: web.Request) -> web.Response:
        report: Report = parse(model, await read_body(request) or b"{}")
        reservation_id = request.match_info["id"]
        proof = await _prove(request, find_zone_of_id(request, reservation_id), reservation_id)
        return json_response(await _apply(request, verb, reservation_id, report, proof))

    return handler


async def _prove(request: web.Request, zone: Zone, reservation_id: str) -> Proof:
    """What the id proves; raises `NotFound` if this service did not issue it."""
    proof = Proof.FORGED

    def fits(keys: SigningKeys) -> bool:
        nonlocal proof
        proof = prove(reservation_id, keys)
        return proof is not Proof.FORGED

    if not await request.app[APP_CONTEXT].zone_keys.check(zone, fits):
        raise _unknown_id(reservation_id)
    return proof


def _unknown_id(reservation_id: str) -> NotFound:
    return NotFound(f"no reservation {reservation_id}")


def report_link_route(verb: ReportVerb) -> Handler:
    """The handler of `POST /r/{token}/<verb>`: the secret path names the reservation."""
    model = _MODELS[verb]

    async def handler(request: web.Request) -> web.Response:
        verified = await _verify_link(request)
        request[CALLER] = verified.caller
        body = await read_body(request, (JSON, FORM))
        is_form = bool(body) and request.content_type == FORM
        report: Report = (
            parse_form(model, body, _convert_outcome)
            if is_form
            else validate(model, _convert_outcome(load(body or b"{}")))
        )
        proof = Proof.ISSUED  # by the signature of the link
        return json_response(await _apply(request, verb, verified.reservation_id, report, proof))

    return handler


async def _verify_link(request: web.Request) -> VerifiedReport:
    """The meaning of the link. Raises `NotFound`, or `TooFast`.

    A genuine link counts for its reservation alone: behind a proxy, or from one platform, all
    reports have the same address. A guessed one counts for its address.
    """
    context = request.app[APP_CONTEXT]
    try:
        verified = await context.report_links.verify(request.match_info["token"])
    except NotFound:
        count_request(request, None, context)
        raise
    mark_known(request)
    context.link_rate.take(verified.reservation_id)
    return verified


def _convert_outcome(fields: Any) -> Any:
    """The fields with a provider's word for the outcome replaced by ours.

    An unknown word becomes `failed`: a page cannot mend a refused report, and its call would stay
    counted.
    """
    word = fields.get("outcome") if isinstance(fields, dict) else None
    if not isinstance(word, str) or not word:
        return fields
    outcome = read_outcome(word)
    if outcome is None:
        _unknown_outcomes.warning("report_url: unknown outcome %.40r counts as failed", word)
    return {**fields, "outcome": (outcome or Outcome.FAILED).value}


async def report_many(request: web.Request) -> web.Response:
    """`POST /v1/reservations/batch`; the reports on each zone reach it in their order."""
    slices = request.app[APP_CONTEXT].slices
    batch = validate(ReportBatch, await load_batch(slices, await read_body(request)))
    charge_units(request, len(batch.reports))
    results: list[Answer | BaseException] = [Invalid()] * len(batch.reports)
    zones: dict[Zone, list[tuple[int, _ParsedReport]]] = {}

    def parse_slice(some: Sequence[tuple[int, dict[str, Any]]]) -> None:
        for position, raw in some:
            try:
                zone, parsed = _parse_one(request, raw)
            except AdmissionError as fault:
                results[position] = fault
            else:
                zones.setdefault(zone, []).append((position, parsed))

    await slices.run(list(enumerate(batch.reports)), parse_slice)
    calls = (
        _apply_in_zone(request, zone, [parsed for _, parsed in placed])
        for zone, placed in zones.items()
    )
    for placed, answers in zip(zones.values(), await asyncio.gather(*calls), strict=True):
        for (position, _), answer in zip(placed, answers, strict=True):
            results[position] = answer
    return await respond(request, results)


class _ParsedReport(NamedTuple):
    """One report of a batch: the operation of the script, and what metrics need."""

    verb: str
    report: Report
    operation: dict[str, Any]


def _parse_one(request: web.Request, raw: dict[str, Any]) -> tuple[Zone, _ParsedReport]:
    verb, reservation_id = raw.get("op"), raw.get("id")
    if not isinstance(verb, str) or verb not in _MODELS:
        raise Invalid(FieldError(field="op", message="Must be launched, renew or end"))
    if not isinstance(reservation_id, str):
        raise Invalid(FieldError(field="id", message="Must be the id of a reservation"))
    fields = {name: value for name, value in raw.items() if name not in ("op", "id")}
    report: Report = validate(_MODELS[verb], fields)
    zone = find_zone_of_id(request, reservation_id)
    operation = _build_operation(request, zone, verb, reservation_id, report)
    return zone, _ParsedReport(verb, report, operation)


def _mark(operation: dict[str, Any], proof: Proof) -> None:
    """The ledger adopts no reservation by an id without proof, and stores nothing of its end."""
    if proof is Proof.UNPROVED:
        operation["unproved"] = True


async def _prove_all(
    request: web.Request, zone: Zone, reports: Sequence[_ParsedReport]
) -> list[Proof]:
    """What the id of each report proves."""
    context = request.app[APP_CONTEXT]

    async def prove_with(keys: SigningKeys) -> list[Proof]:
        slices = await context.slices.run(
            reports, lambda some: [prove(one.operation["id"], keys) for one in some]
        )
        return [proof for some in slices for proof in some]

    proofs = await prove_with(await zone.get_keys())
    newer = await context.zone_keys.refresh(zone) if Proof.FORGED in proofs else None
    return proofs if newer is None else await prove_with(newer)


async def _report_proved(
    request: web.Request, zone: Zone, reports: Sequence[_ParsedReport]
) -> Sequence[Answer | AdmissionError]:
    """Apply those reports whose ids this service may have issued; a fault stands for the others."""
    proofs = await _prove_all(request, zone, reports)
    passed: list[dict[str, Any]] = []
    for proof, one in zip(proofs, reports, strict=True):
        if proof is not Proof.FORGED:
            _mark(one.operation, proof)
            passed.append(one.operation)
    caller = request.get(CALLER_KEY, "")
    applied = iter(await zone.report_batch(passed, caller) if passed else ())
    return [
        _unknown_id(one.operation["id"]) if proof is Proof.FORGED else next(applied)
        for proof, one in zip(proofs, reports, strict=True)
    ]


async def _apply_in_zone(
    request: web.Request, zone: Zone, reports: Sequence[_ParsedReport]
) -> Sequence[Answer | BaseException]:
    try:
        answers = await _report_proved(request, zone, reports)
    except Exception as fault:
        return [fault] * len(reports)

    def count_slice(some: Sequence[tuple[_ParsedReport, Answer | AdmissionError]]) -> None:
        for one, answer in some:
            _count(request, zone, one.verb, one.report, answer)

    counted = list(zip(reports, answers, strict=True))
    await request.app[APP_CONTEXT].slices.run(counted, count_slice)
    return answers


async def _apply(
    request: web.Request, verb: str, reservation_id: str, report: Report, proof: Proof
) -> Answer:
    zone = find_zone_of_id(request, reservation_id)
    operation = _build_operation(request, zone, verb, reservation_id, report)
    _mark(operation, proof)
    try:
        answer = await zone.report(operation, request.get(CALLER_KEY, ""))
    except NotFound as fault:
        _count(request, zone, verb, report, fault)
        raise
    _count(request, zone, verb, report, answer)
    return answer


def _count(
    request: web.Request, zone: Zone, verb: str, report: Report, answer: Answer | AdmissionError
) -> None:
    telemetry = request.app[APP_CONTEXT].telemetry
    if isinstance(answer, NotFound):
        telemetry.count_report(zone.name, verb, "unknown_reservation")
    elif not isinstance(answer, AdmissionError):
        telemetry.count_report(zone.name, verb, _metric_outcome(answer, report))


def _build_operation(
    request: web.Request, zone: Zone, verb: str, reservation_id: str, report: Report
) -> dict[str, Any]:
    fields = _operation_fields(request, zone.name, report)
    return {"op": verb, "id": reservation_id, **fields}


def _operation_fields(request: web.Request, zone: str, report: Report) -> dict[str, Any]:
    """The fields of the operation (lua/README.md); None: not reported."""
    caller = request[CALLER]
    fields: dict[str, Any] = {"scope": caller.scope}
    if isinstance(report, End):
        # An end by an operator is audited, an end by a dialer is not. Anonymous callers may be
        # either.
        fields["by"] = None if caller is ANONYMOUS else caller.audit_name
        fields |= {"outcome": report.decided_outcome().value, "ended_at": report.ended_at}
    else:
        if isinstance(report, Launched):
            fields |= {
                "port_taken": report.port_taken,
                "session": report.session_id,
                "mpp": report.mpp,
            }
        fields["adopt"] = _adoption(request, zone, report.reservation)
    return fields


def _adoption(
    request: web.Request, zone: str, known: KnownReservation | None
) -> dict[str, Any] | None:
    if known is None:
        return None
    if known.zone != zone:
        message = "Must be the zone in the reservation's id"
        raise Invalid(FieldError(field="reservation.zone", message=message))
    request[CALLER].require_campaign(known.campaign)
    return known.model_dump(exclude={"zone"})


def _metric_outcome(answer: Answer, report: Report) -> str:
    if answer.get("repeated"):
        return "repeated"
    if isinstance(report, End):
        return report.decided_outcome().value
    return "adopted" if answer.get("adopted") else "ok"


def _report_route(verb: ReportVerb, body: type[BaseModel], summary: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/reservations/{{id}}/{verb}",
        handler=report_one(verb),
        roles=DIALER,
        tag="Reports",
        summary=summary,
        answer=responses.ReportAnswer,
        body=body,
        body_required=False,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    )


def _link_route(verb: ReportVerb, body: type[BaseModel], summary: str) -> Route:
    return Route(
        method="POST",
        path=f"{report_links.PATH}/{verb}",
        handler=report_link_route(verb),
        roles=ANYONE,
        tag="Reports",
        summary=summary,
        answer=responses.ReportAnswer,
        body=body,
        body_required=False,
        form=FORMS[body],
        faults=(*BODY_FAULTS, 403, 404, 429, 503),
    )


REPORT_ROUTES: Final = (
    _report_route("launched", Launched, "The call was launched, or has its port"),
    _report_route("renew", Renew, "The call is still up"),
    _report_route("end", End, "The call ended, or was never launched"),
    Route(
        method="POST",
        path="/v1/reservations/batch",
        handler=report_many,
        roles=DIALER,
        tag="Reports",
        summary="Up to 1000 reports, in order",
        answer=responses.ReportResults,
        body=responses.ReportList,
        faults=(*CALLER_FAULTS, *BODY_FAULTS),
    ),
    _link_route("launched", Launched, "By report_url: launched, or has its port"),
    _link_route("renew", Renew, "By report_url: still up"),
    _link_route("end", End, "By report_url: ended, or never launched"),
)

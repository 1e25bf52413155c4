"""Zones: status, time, pushed snapshots and agent sessions."""

import asyncio
import re
from functools import partial
from typing import Any, Final

from aiohttp import web

from admission.domain import Answer, IngestAnswer
from admission.domain.types import AGENT_ID, PUSHED_POOLS_MAX
from admission.errors import FieldError, Invalid, NotFound, Unavailable
from admission.http.charges import charge_units
from admission.http.context import APP_CONTEXT, CALLER, REQUEST_ID
from admission.http.handlers import events
from admission.http.parsing import SNAPSHOT_FIELDS_MAX, parse, read_body
from admission.http.problems import build_problem
from admission.http.responses import json_response
from admission.http.route import (
    BODY_FAULTS,
    CALLER_FAULTS,
    EVERY_ROLE,
    SOURCE,
    VIEWER,
    Route,
)
from admission.http.schemas import responses
from admission.http.schemas.requests import (
    GuidHandover,
    PushedSnapshot,
)
from admission.http.scope import find_zone_in_path

_AGENT: Final = re.compile(AGENT_ID)


async def list_zones(request: web.Request) -> web.Response:
    """`GET /v1/zones`: the zones that the caller may see."""
    decider = request.app[APP_CONTEXT].decider
    names = [name for name in decider.list_zones() if request[CALLER].may_see_zone(name)]
    reads = (decider.zone(name).get_status() for name in names)
    found = await asyncio.gather(*reads, return_exceptions=True)
    failed = [one for one in found if isinstance(one, Unavailable)]
    if failed and len(failed) == len(names):
        raise failed[0]
    zones = [_build_entry(request, *pair) for pair in zip(names, found, strict=True)]
    return json_response({"zones": zones})


async def get_zone(request: web.Request) -> web.Response:
    """`GET /v1/zones/{zone}`."""
    zone = find_zone_in_path(request)
    return json_response(await zone.get_status())


async def get_time(request: web.Request) -> web.Response:
    """`GET /v1/zones/{zone}/time`."""
    return json_response({"now": await find_zone_in_path(request).get_time()})


async def push_snapshot(request: web.Request) -> web.Response:
    """`PUT /v1/zones/{zone}/snapshot`."""
    zone = find_zone_in_path(request)
    body = await read_body(request)
    if body.count(b'"total"') > PUSHED_POOLS_MAX + 1:  # before the time that parsing takes
        raise _too_many_pools()
    slices = request.app[APP_CONTEXT].slices
    snapshot = await slices.run_alone(partial(parse, PushedSnapshot, body, SNAPSHOT_FIELDS_MAX))
    charge_units(request, len(snapshot.pools) // 10)
    for pool in snapshot.list_pools():
        request[CALLER].require_pool(pool)
    groups = await slices.run_alone(snapshot.groups)
    answer = await zone.push_snapshot(snapshot.taken_at, groups)
    request.app[APP_CONTEXT].telemetry.count_snapshot(zone.name, answer.reason)
    return json_response(_build_push_answer(answer))


def _too_many_pools() -> Invalid:
    message = f"Must have at most {PUSHED_POOLS_MAX} pools: send several snapshots"
    return Invalid(FieldError(field="pools", message=message))


def _build_entry(request: web.Request, zone: str, found: Answer | BaseException) -> dict[str, Any]:
    # One zone with an unreachable store must not hide the others.
    if isinstance(found, BaseException):
        return {"zone": zone, "problem": build_problem(found, request[REQUEST_ID])}
    return found


def _build_push_answer(answer: IngestAnswer) -> dict[str, Any]:
    head = {"accepted": answer.accepted, "now": answer.now}
    if answer.accepted:
        return head
    return head | {"reason": answer.reason, "pool": answer.pool, "refused": answer.refused}


async def take_agent_session(request: web.Request) -> web.Response:
    """`PUT /v1/zones/{zone}/agents/{agent}/guid`: the Guid appears in no response and no log."""
    zone, agent = find_zone_in_path(request), request.match_info["agent"]
    if not _AGENT.fullmatch(agent):
        raise NotFound("There is no such agent.")
    handover = parse(GuidHandover, await read_body(request))
    return json_response(await zone.take_agent_session(int(agent), handover.ticket))


ZONE_ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/zones",
        handler=list_zones,
        roles=VIEWER,
        tag="Zones",
        summary="The status of every zone",
        answer=responses.ZoneList,
    ),
    Route(
        method="GET",
        path="/v1/zones/{zone}",
        handler=get_zone,
        roles=VIEWER,
        tag="Zones",
        summary="The status of a zone",
        answer=responses.ZoneStatus,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="GET",
        path="/v1/zones/{zone}/time",
        handler=get_time,
        roles=EVERY_ROLE,
        tag="Zones",
        summary="The zone's time",
        answer=responses.Time,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="PUT",
        path="/v1/zones/{zone}/snapshot",
        handler=push_snapshot,
        roles=SOURCE,
        tag="Zones",
        summary="Push a snapshot",
        answer=responses.PushAnswer,
        body=PushedSnapshot,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    ),
    Route(
        method="PUT",
        path="/v1/zones/{zone}/agents/{agent}/guid",
        handler=take_agent_session,
        roles=SOURCE,
        tag="Zones",
        summary="Hand over a signed-in agent's session, to count its calls with",
        answer=responses.HandOverAnswer,
        body=GuidHandover,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404, 409),
    ),
    Route(
        method="GET",
        path="/v1/events",
        handler=events.stream_events,
        roles=VIEWER,
        tag="Zones",
        summary="Server-sent events: the status of zones as it changes",
        answer=events.MEDIA_TYPE,
        query=events.EventQuery,
        faults=(*CALLER_FAULTS, 404, 422),
    ),
)

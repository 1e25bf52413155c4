"""Zones: their status, their time, and snapshots that are pushed into them."""

import asyncio
from typing import Any

from aiohttp import web

from admission.errors import Unavailable
from admission.http.bodies import parse, read_body
from admission.http.keys import CALLER, DECIDER, REQUEST_ID, TELEMETRY
from admission.http.problems import problem_of
from admission.http.render import json_response
from admission.http.scope import zone_in_path
from admission.model import Answer, IngestAnswer, PushedSnapshot


async def every(request: web.Request) -> web.Response:
    """`GET /v1/zones`: those the caller may see."""
    decider = request.app[DECIDER]
    names = [zone for zone in decider.zones() if request[CALLER].may_see_zone(zone)]
    found = await asyncio.gather(*map(decider.status, names), return_exceptions=True)
    failed = [one for one in found if isinstance(one, Unavailable)]
    if failed and len(failed) == len(names):
        raise failed[0]
    shown = [_shown(request, *pair) for pair in zip(names, found, strict=True)]
    return json_response({"zones": shown})


async def one(request: web.Request) -> web.Response:
    """`GET /v1/zones/{zone}`."""
    zone = zone_in_path(request)
    return json_response(await request.app[DECIDER].status(zone))


async def time(request: web.Request) -> web.Response:
    """`GET /v1/zones/{zone}/time`."""
    return json_response({"now": await request.app[DECIDER].now(zone_in_path(request))})


async def push(request: web.Request) -> web.Response:
    """`PUT /v1/zones/{zone}/snapshot`."""
    zone = zone_in_path(request)
    pushed = parse(PushedSnapshot, await read_body(request))
    answer = await request.app[DECIDER].push(zone, pushed.taken_at, pushed.groups())
    request.app[TELEMETRY].ingested(zone, answer)
    return json_response(_taken_or_refused(answer))


def _shown(request: web.Request, zone: str, found: Answer | BaseException) -> dict[str, Any]:
    # One zone whose store is away must not hide the others.
    if isinstance(found, BaseException):
        return {"zone": zone, "problem": problem_of(found, request[REQUEST_ID])}
    return found


def _taken_or_refused(answer: IngestAnswer) -> dict[str, Any]:
    shown = {"accepted": answer.accepted, "now": answer.now}
    if answer.accepted:
        return shown
    return shown | {"reason": answer.reason, "pool": answer.pool, "refused": answer.refused}

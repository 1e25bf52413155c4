"""Agents' sessions that are handed over by who signed the agents in."""

import re
from typing import Final

from aiohttp import web

from admission.errors import NotFound
from admission.http.bodies import parse, read_body
from admission.http.keys import DECIDER
from admission.http.render import json_response
from admission.http.scope import zone_in_path
from admission.model import AGENT_ID, HandedGuid

_AGENT: Final = re.compile(AGENT_ID)


async def hand_over(request: web.Request) -> web.Response:
    """`PUT /v1/zones/{zone}/agents/{agent}/guid`: the Guid is in no answer and in no log."""
    zone, agent = zone_in_path(request), request.match_info["agent"]
    if not _AGENT.fullmatch(agent):
        raise NotFound("There is no such agent.")
    handed = parse(HandedGuid, await read_body(request))
    return json_response(await request.app[DECIDER].hand_over(zone, int(agent), handed.ticket))

"""*May I launch?*, alone and in batches.

A batch is answered when all of its asks are decided: one that waits for room makes all others wait,
while the time to launch what they were granted runs. Such asks belong into requests of their own.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from time import perf_counter
from typing import Any, TypeAlias

from aiohttp import web

from admission.http.auth import Caller
from admission.http.batch import answer_each
from admission.http.bodies import load, parse, read_body, validate
from admission.http.capability import signing_secret
from admission.http.hangup import cancelled_on_hangup, has_hung_up
from admission.http.keys import CALLER, CAPABILITIES, DECIDER, TELEMETRY
from admission.http.render import admission_answer, json_response
from admission.http.scope import asked_zone
from admission.logs import log_decision
from admission.model import Answer, Ask, AskBatch

Granted: TypeAlias = list[tuple[str, dict[str, Any]]]


async def ask_one(request: web.Request) -> web.Response:
    """`POST /v1/admissions`."""
    ask = parse(Ask, await read_body(request))
    with _undone_on_hangup(request) as granted:
        return json_response(await _decide(request, ask, granted))


async def ask_many(request: web.Request) -> web.Response:
    """`POST /v1/admissions/batch`."""
    batch = validate(AskBatch, load(await read_body(request)))
    with _undone_on_hangup(request) as granted:
        works = (_decide_raw(request, raw, granted) for raw in batch.requests)
        return await answer_each(request, works)


@contextmanager
def _undone_on_hangup(request: web.Request) -> Iterator[Granted]:
    """What is granted inside is taken back if the client hangs up before anything is written."""
    granted: Granted = []
    is_told = False
    try:
        with cancelled_on_hangup(request):
            yield granted
        is_told = not has_hung_up(request)
    except asyncio.CancelledError:
        raise
    except Exception:
        is_told = True  # a problem is answered: nothing was granted
        raise
    finally:
        if not is_told:
            for zone, op in granted:
                request.app[DECIDER].withdraw(zone, op)


async def _decide_raw(request: web.Request, raw: dict[str, Any], granted: Granted) -> Answer:
    return await _decide(request, validate(Ask, raw), granted)


async def _decide(request: web.Request, ask: Ask, granted: Granted) -> Answer:
    app, caller = request.app, request[CALLER]
    zone = asked_zone(request, ask.zone)
    caller.require_campaign(ask.campaign)
    secret = await signing_secret(request, zone)
    started = perf_counter()
    op = ask_to_op(ask, caller)
    answer = await app[DECIDER].admit(zone, op)
    if answer["granted"] and not ask.dry_run:
        granted.append((zone, op))
    # A wait for room says nothing of how fast decisions are.
    app[TELEMETRY].decided(zone, answer, None if ask.wait_ms else perf_counter() - started)
    shown = admission_answer(answer, zone, ask.campaign)
    log_decision(shown)
    app[CAPABILITIES].add_links(request, secret, shown, ask.campaign)
    return shown


def ask_to_op(
    ask: Ask, caller: Caller, *, make_id: Callable[[int], str] = secrets.token_urlsafe
) -> dict[str, Any]:
    """The ledger's `admit` for an ask (lua/README.md). What was not asked is left out.

    Args:
        ask: what was asked; its zone is not part of the operation.
        caller: whose name stands in for an `owner` that was not given.
        make_id: bytes of randomness -> URL-safe text; 8 bytes make 11 characters.
    """
    made = make_id(8)
    op: dict[str, Any] = {
        "op": "admit",
        "id": made,
        "request_id": ask.request_id or f"r-{made}",
        "campaign": ask.campaign,
        "count": ask.count,
        "min_count": ask.min_count,
        "pools": ask.pools,
        "owner": ask.owner or caller.name,
        "body": digest_of(ask),
    }
    for name in ("channel", "application", "mpp", "wait_ms", "dry_run", "explain"):
        if value := getattr(ask, name):
            op[name] = value
    return op


def digest_of(ask: Ask) -> str:
    """What tells a repeat from another ask under the same request_id: the fields that decide.

    How long to wait, who owns it and whether to explain may differ between an ask and its repeat.
    """
    deciding = (ask.channel, ask.count, ask.min_count, ask.application, ask.mpp, sorted(ask.pools))
    return blake2b(repr(deciding).encode(), digest_size=8).hexdigest()

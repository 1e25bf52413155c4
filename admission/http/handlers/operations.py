"""Changes by operators: pause, resume, limits, policy; and the audit log of them."""

import re
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.domain import Answer
from admission.domain.policy import ZonePolicy
from admission.domain.types import ANY_POOL, Role, TemporaryLimit
from admission.errors import BadRequest, Forbidden, NotFound
from admission.http.auth.tokens import Caller
from admission.http.context import CALLER
from admission.http.handlers import audit
from admission.http.parsing import FIELDS_MAX, JSON, load, parse, read_body
from admission.http.responses import json_response
from admission.http.route import BODY_FAULTS, CALLER_FAULTS, DIALER, OPERATOR, Route
from admission.http.schemas import responses
from admission.http.schemas.repairs import ClearAnswer, RotateAnswer, RotateKeys
from admission.http.schemas.requests import SetLimit
from admission.http.scope import find_zone_in_path

MERGE_PATCH: Final = "application/merge-patch+json"
PATCH_TYPES: Final = (MERGE_PATCH, JSON)
_ZONE: Final = "/v1/zones/{zone}"
_POOL: Final = f"{_ZONE}/pools/{{pool}}"
_ANY_POOL: Final = re.compile(ANY_POOL)
_ETAG: Final = re.compile(r'(W/)?"([^"]*)"')  # a comma may stand in it (RFC 9110, section 8.8.3)
_ETAGS: Final = re.compile(rf"\s*{_ETAG.pattern}(?:\s*,\s*{_ETAG.pattern})*\s*")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,14}")


def set_zone_paused(paused: bool) -> Handler:
    """The handler of `POST /v1/zones/{zone}/pause`, or `/resume`."""

    async def handler(request: web.Request) -> web.Response:
        zone = find_zone_in_path(request)
        return json_response(await zone.set_paused(None, paused, _actor(request)))

    return handler


def set_pool_paused(paused: bool) -> Handler:
    """The handler of `POST /v1/zones/{zone}/pools/{pool}/pause`, or `/resume`."""

    async def handler(request: web.Request) -> web.Response:
        zone, pool = find_zone_in_path(request), _read_pool(request)
        return json_response(await zone.set_paused(pool, paused, _actor(request)))

    return handler


async def set_limit(request: web.Request) -> web.Response:
    """`PUT /v1/zones/{zone}/pools/{pool}/limit`: a dialer only for its own campaigns."""
    zone, pool = find_zone_in_path(request), _read_pool(request)
    scope = _limit_scope(request[CALLER], pool)
    body = parse(SetLimit, await read_body(request))
    limit = TemporaryLimit(
        pool=pool, limit=body.limit, ttl_ms=body.ttl_ms, scope=scope, by=_actor(request)
    )
    return json_response(await zone.set_limit(limit))


async def clear_aside(request: web.Request) -> web.Response:
    """`DELETE /v1/zones/{zone}/aside`."""
    zone = find_zone_in_path(request)
    return json_response(await zone.clear_aside(_actor(request)))


async def rotate_keys(request: web.Request) -> web.Response:
    """`POST /v1/zones/{zone}/keys`."""
    zone = find_zone_in_path(request)
    body = parse(RotateKeys, await read_body(request) or b"{}")
    return json_response(await zone.rotate_keys(body.keep_ms, _actor(request)))


async def get_policy(request: web.Request) -> web.Response:
    """`GET /v1/zones/{zone}/policy`."""
    return _build_policy_response(await find_zone_in_path(request).get_policy())


async def put_policy(request: web.Request) -> web.Response:
    """`PUT /v1/zones/{zone}/policy`."""
    zone, versions = find_zone_in_path(request), _read_if_match(request)
    document = load(await read_body(request), FIELDS_MAX)
    return _build_policy_response(await zone.put_policy(document, versions, _actor(request)))


async def patch_policy(request: web.Request) -> web.Response:
    """`PATCH /v1/zones/{zone}/policy`."""
    zone, versions = find_zone_in_path(request), _read_if_match(request)
    patch = load(await read_body(request, PATCH_TYPES), FIELDS_MAX)
    return _build_policy_response(await zone.patch_policy(patch, versions, _actor(request)))


def _actor(request: web.Request) -> str | None:
    return request[CALLER].audit_name


def _read_pool(request: web.Request) -> str:
    pool = request.match_info["pool"]
    if not _ANY_POOL.fullmatch(pool):
        raise NotFound("There is no such pool.")
    return pool


def _limit_scope(caller: Caller, pool: str) -> list[str] | None:
    """The campaigns whose pools the caller may limit, None: any pool.

    A dialer's token must list the campaign: a dialer for all campaigns is no operator.
    """
    if caller.role is not Role.DIALER:
        return None
    kind, _, campaign = pool.partition(":")
    if kind != "campaign" or campaign not in (caller.campaigns or ()):
        raise Forbidden("These credentials do not reach that pool.")
    return caller.scope


def _build_policy_response(answer: Answer) -> web.Response:
    response = json_response(answer)
    response.headers[hdrs.ETAG] = f'"{answer["version"]}"'
    return response


def _read_if_match(request: web.Request) -> frozenset[int] | None:
    """The versions of If-Match, None for any; a weak or foreign tag fits no version."""
    given = ",".join(request.headers.getall(hdrs.IF_MATCH, ["*"]))
    if given.strip() == "*":
        return None
    if not _ETAGS.fullmatch(given):
        raise BadRequest('If-Match must be an ETag in quotes, such as "7", or *.')
    versions = [text for weak, text in _ETAG.findall(given) if not weak]
    return frozenset(int(text) for text in versions if _VERSION.fullmatch(text))


def _pause_route(path: str, handler: Handler, summary: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        roles=OPERATOR,
        tag="Operations",
        summary=summary,
        answer=responses.PauseAnswer,
        faults=(*CALLER_FAULTS, 404, 409),
    )


def _policy_route(
    method: str,
    handler: Handler,
    summary: str,
    body: type[BaseModel] | None,
    body_types: tuple[str, ...] = (JSON,),
) -> Route:
    changes = (*BODY_FAULTS, 409, 412) if body else ()
    return Route(
        method=method,
        path=f"{_ZONE}/policy",
        handler=handler,
        roles=OPERATOR,
        tag="Operations",
        summary=summary,
        answer=responses.PolicyAnswer,
        body=body,
        body_types=body_types,
        etag=True,
        faults=(*CALLER_FAULTS, *changes, 404),
    )


OPERATION_ROUTES: Final = (
    _pause_route(f"{_ZONE}/pause", set_zone_paused(True), "Stop grants in a zone"),
    _pause_route(f"{_ZONE}/resume", set_zone_paused(False), "Resume grants in a zone"),
    _pause_route(
        f"{_POOL}/pause", set_pool_paused(True), "Stop grants of an MPP, campaign or other pool"
    ),
    _pause_route(
        f"{_POOL}/resume", set_pool_paused(False), "Resume grants of an MPP, campaign or other pool"
    ),
    Route(
        method="PUT",
        path=f"{_POOL}/limit",
        handler=set_limit,
        roles=DIALER,
        tag="Operations",
        summary="Set a temporary limit of a pool; for a dialer, of its own campaigns",
        answer=responses.LimitAnswer,
        body=SetLimit,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    ),
    Route(
        method="GET",
        path=f"{_ZONE}/audit",
        handler=audit.list_entries,
        roles=OPERATOR,
        tag="Operations",
        summary="Changes by operators, the newest first",
        answer=audit.AuditPage,
        query=audit.AuditQuery,
        faults=(*CALLER_FAULTS, 404, 422),
    ),
    Route(
        method="DELETE",
        path=f"{_ZONE}/aside",
        handler=clear_aside,
        roles=OPERATOR,
        tag="Operations",
        summary="Delete what could not be read and was set aside, after its inspection",
        answer=ClearAnswer,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="POST",
        path=f"{_ZONE}/keys",
        handler=rotate_keys,
        roles=OPERATOR,
        tag="Operations",
        summary="Sign report_urls and ids with a new key; those before it are accepted for a while",
        answer=RotateAnswer,
        body=RotateKeys,
        body_required=False,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    ),
    _policy_route("GET", get_policy, "The live policy", None),
    _policy_route("PUT", put_policy, "Replace the live policy", ZonePolicy),
    _policy_route(
        "PATCH",
        patch_policy,
        "Change the live policy by a JSON merge patch",
        responses.PolicyPatch,
        body_types=PATCH_TYPES,
    ),
)

"""The routes for operators: pauses, limits, policies."""

from typing import Final

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.http import audit, operations, schemas_operations
from admission.http.bodies import JSON
from admission.http.route import BODY_FAULTS, CALLER_FAULTS, DIALER, OPERATOR, Route
from admission.model import SetLimit
from admission.policy_zone import ZonePolicy

_ZONE: Final = "/v1/zones/{zone}"
_POOL: Final = f"{_ZONE}/pools/{{pool}}"


def _pause(path: str, handler: Handler, summary: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        roles=OPERATOR,
        room="Operations",
        summary=summary,
        answer=schemas_operations.PauseAnswer,
        faults=(*CALLER_FAULTS, 404, 409),
    )


def _policy(
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
        room="Operations",
        summary=summary,
        answer=schemas_operations.PolicyAnswer,
        body=body,
        body_types=body_types,
        etag=True,
        faults=(*CALLER_FAULTS, *changes, 404),
    )


OPERATIONS: Final = (
    _pause(f"{_ZONE}/pause", operations.pause_zone(True), "Stop grants in a zone"),
    _pause(f"{_ZONE}/resume", operations.pause_zone(False), "Grant again in a zone"),
    _pause(f"{_POOL}/pause", operations.pause_pool(True), "Stop grants of an MPP, campaign, trunk"),
    _pause(f"{_POOL}/resume", operations.pause_pool(False), "Grant again there"),
    Route(
        method="PUT",
        path=f"{_POOL}/limit",
        handler=operations.limit,
        roles=DIALER,
        room="Operations",
        summary="Limit a pool for a while; a dialer its own campaign, never above policy",
        answer=schemas_operations.LimitAnswer,
        body=SetLimit,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    ),
    Route(
        method="GET",
        path=f"{_ZONE}/audit",
        handler=audit.page,
        roles=OPERATOR,
        room="Operations",
        summary="What was done by hand, and by whom; the newest first",
        answer=audit.AuditPage,
        query=audit.AuditQuery,
        faults=(*CALLER_FAULTS, 404, 422),
    ),
    _policy("GET", operations.get_policy, "The live policy", None),
    _policy("PUT", operations.put_policy, "Replace the live policy", ZonePolicy),
    _policy(
        "PATCH",
        operations.patch_policy,
        "Change the live policy by a JSON merge patch",
        schemas_operations.PolicyPatch,
        body_types=operations.PATCH_TYPES,
    ),
)

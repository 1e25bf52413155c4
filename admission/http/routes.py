"""Every route: who may call it, what it takes and gives. Router and description read this."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.http import (
    admissions,
    agents,
    capability,
    dashboard,
    events,
    health,
    reports,
    reservations,
    schemas,
    zones,
)
from admission.http.auth import Role
from admission.http.forms import FORMS
from admission.http.keys import Door
from admission.http.operation_routes import OPERATIONS
from admission.http.route import (
    BODY_FAULTS,
    CALLER_FAULTS,
    DIALER,
    DIALER_OR_VIEWER,
    EVERY_ROLE,
    EVERYBODY,
    SOURCE,
    VIEWER,
    Route,
)
from admission.model import Ask, End, HandedGuid, Launched, PushedSnapshot, Renew, ReportVerb


def _report(verb: ReportVerb, body: type[BaseModel], summary: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/reservations/{{id}}/{verb}",
        handler=reports.report_one(verb),
        roles=DIALER,
        room="Reports",
        summary=summary,
        answer=schemas.ReportAnswer,
        body=body,
        body_required=False,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    )


def _by_url(verb: ReportVerb, body: type[BaseModel], summary: str) -> Route:
    return Route(
        method="POST",
        path=f"{capability.PATH}/{verb}",
        handler=reports.report_by_url(verb),
        roles=EVERYBODY,
        room="Reports",
        summary=summary,
        answer=schemas.ReportAnswer,
        body=body,
        body_required=False,
        form=FORMS[body],
        faults=(*BODY_FAULTS, 403, 404, 429, 503),
    )


_ADMISSIONS: Final = (
    Route(
        method="POST",
        path="/v1/admissions",
        handler=admissions.ask_one,
        roles=DIALER,
        room="Admissions",
        summary="May I launch?",
        answer=schemas.Decision,
        body=Ask,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404, 409),
    ),
    Route(
        method="POST",
        path="/v1/admissions/batch",
        handler=admissions.ask_many,
        roles=DIALER,
        room="Admissions",
        summary="Up to 1000 asks, each decided by itself, in order",
        answer=schemas.DecisionResults,
        body=schemas.AskList,
        faults=(*CALLER_FAULTS, *BODY_FAULTS),
    ),
)
_REPORTS: Final = (
    _report("launched", Launched, "The call was launched, or has its port"),
    _report("renew", Renew, "The call is still up"),
    _report("end", End, "The call ended, or was never launched"),
    Route(
        method="POST",
        path="/v1/reservations/batch",
        handler=reports.report_many,
        roles=DIALER,
        room="Reports",
        summary="Up to 1000 reports, in order",
        answer=schemas.ReportResults,
        body=schemas.ReportList,
        faults=(*CALLER_FAULTS, *BODY_FAULTS),
    ),
    _by_url("launched", Launched, "By report_url: launched, or has its port"),
    _by_url("renew", Renew, "By report_url: still up"),
    _by_url("end", End, "By report_url: ended, or never launched"),
)
_RESERVATIONS: Final = (
    Route(
        method="GET",
        path="/v1/reservations/{id}",
        handler=reservations.one,
        roles=DIALER,
        room="Reservations",
        summary="One reservation: its times, pools, state, and why it ended",
        answer=schemas.Reservation,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="GET",
        path="/v1/reservations",
        handler=reservations.page,
        roles=DIALER_OR_VIEWER,
        room="Reservations",
        summary="Pages of reservations; a dialer sees its own scope",
        answer=schemas.ReservationPage,
        query=reservations.ReservationQuery,
        faults=(*CALLER_FAULTS, 404, 422),
    ),
)
_ZONES: Final = (
    Route(
        method="GET",
        path="/v1/zones",
        handler=zones.every,
        roles=VIEWER,
        room="Zones",
        summary="The status of every zone",
        answer=schemas.ZoneList,
    ),
    Route(
        method="GET",
        path="/v1/zones/{zone}",
        handler=zones.one,
        roles=VIEWER,
        room="Zones",
        summary="The status of a zone",
        answer=schemas.ZoneStatus,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="GET",
        path="/v1/zones/{zone}/time",
        handler=zones.time,
        roles=EVERY_ROLE,
        room="Zones",
        summary="The zone's time",
        answer=schemas.Time,
        faults=(*CALLER_FAULTS, 404),
    ),
    Route(
        method="PUT",
        path="/v1/zones/{zone}/snapshot",
        handler=zones.push,
        roles=SOURCE,
        room="Zones",
        summary="Push a snapshot",
        answer=schemas.PushAnswer,
        body=PushedSnapshot,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404),
    ),
    Route(
        method="PUT",
        path="/v1/zones/{zone}/agents/{agent}/guid",
        handler=agents.hand_over,
        roles=SOURCE,
        room="Zones",
        summary="Hand over a signed-in agent's session, to count its calls with",
        answer=schemas.HandOverAnswer,
        body=HandedGuid,
        faults=(*CALLER_FAULTS, *BODY_FAULTS, 404, 409),
    ),
    Route(
        method="GET",
        path="/v1/events",
        handler=events.events,
        roles=VIEWER,
        room="Zones",
        summary="Server-sent events: the status of zones as it changes",
        answer=events.MEDIA_TYPE,
        query=events.EventQuery,
        faults=(*CALLER_FAULTS, 404, 422),
    ),
)


def _service(metrics_roles: frozenset[Role] | None) -> tuple[Route, ...]:
    def get(
        path: str, handler: Handler, roles: frozenset[Role] | None, summary: str,
        answer: type[BaseModel] | str, faults: tuple[int, ...] = (401, 403),
    ) -> Route:  # fmt: skip
        return Route(
            method="GET", path=path, handler=handler, roles=roles, room="Service",
            summary=summary, answer=answer, faults=faults,
        )  # fmt: skip

    plain = "text/plain"
    closed = () if metrics_roles is EVERYBODY else (401, 403)
    return (
        get("/healthz", health.alive, EVERYBODY, "The process is alive", schemas.Health, ()),
        get("/readyz", health.ready, EVERYBODY, "It can decide now", schemas.Health, (503,)),
        get("/metrics", health.metrics, metrics_roles, "Prometheus metrics", plain, closed),
        get("/openapi.json", health.openapi, VIEWER, "This description", "application/json"),
        get("/docs", health.docs, VIEWER, "This description to read", "text/html"),
        Route(
            method="GET",
            path="/",
            handler=dashboard.page,
            roles=VIEWER,
            own_door=True,
            room="Service",
            summary="The dashboard; a browser without credentials gets it too, to ask for them",
            answer="text/html",
            faults=(401, 403),
        ),
        get("/dashboard/{file}", dashboard.one_file, EVERYBODY, "Its files", "*/*", (404,)),
    )


def routes(*, metrics_public: bool = False) -> tuple[Route, ...]:
    """All that is served. `metrics_public`: /metrics needs no credentials."""
    service = _service(EVERYBODY if metrics_public else VIEWER)
    return _ADMISSIONS + _REPORTS + _RESERVATIONS + _ZONES + OPERATIONS + service


# What is not asked for by GET must not be looked up as a reservation of that name.
_ID_IN_PATH: Final = "{id:(?!batch$)[^{}/]+}"


def doors(served: Iterable[Route]) -> dict[Handler, Door]:
    """What the front needs to know of each handler."""
    return {route.handler: _door(route) for route in served}


def _door(route: Route) -> Door:
    roles = EVERYBODY if route.own_door else route.roles
    return Door(path=route.path, roles=roles, is_limited=429 in route.faults)


def add_routes(router: web.UrlDispatcher, served: Iterable[Route]) -> None:
    """Put them on the router; whatever answers GET answers HEAD."""
    for route in served:
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        for method in methods:
            path = route.path.replace("{id}", _ID_IN_PATH)
            router.add_route(method, path, route.handler, expect_handler=_expect)


async def _expect(request: web.Request) -> None:
    # Any other expectation is passed over, as RFC 9110 allows: a refusal here would not be a
    # problem+json.
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

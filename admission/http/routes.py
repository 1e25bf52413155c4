"""Every route of the service. The router and the OpenAPI description are built from this list."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from admission.domain.types import Role
from admission.http.dashboard import handlers
from admission.http.handlers import health
from admission.http.handlers.admissions import ADMISSION_ROUTES
from admission.http.handlers.operations import OPERATION_ROUTES
from admission.http.handlers.reports import REPORT_ROUTES
from admission.http.handlers.reservations import RESERVATION_ROUTES
from admission.http.handlers.zones import ZONE_ROUTES
from admission.http.route import (
    ANYONE,
    VIEWER,
    Route,
)
from admission.http.schemas import responses


def _get_route(
    path: str,
    handler: Handler,
    roles: frozenset[Role] | None,
    summary: str,
    answer: type[BaseModel] | str,
    faults: tuple[int, ...] = (401, 403),
) -> Route:
    return Route(
        method="GET", path=path, handler=handler, roles=roles, tag="Service",
        summary=summary, answer=answer, faults=faults,
    )  # fmt: skip


_PAGE: Final = Route(
    method="GET",
    path="/",
    handler=handlers.get_page,
    roles=VIEWER,
    checks_credentials=True,
    tag="Service",
    summary="The dashboard; without credentials a browser gets a sign-in form",
    answer="text/html",
    faults=(401, 403, 429),
)


def _service_routes(metrics_roles: frozenset[Role] | None) -> tuple[Route, ...]:
    get, model, plain = _get_route, responses.Health, "text/plain"
    closed = () if metrics_roles is ANYONE else (401, 403)
    return (
        get("/healthz", health.get_liveness, ANYONE, "The process is running", model, ()),
        get("/readyz", health.get_readiness, ANYONE, "The service can decide", model, (503,)),
        get("/metrics", health.get_metrics, metrics_roles, "Prometheus metrics", plain, closed),
        get("/openapi.json", health.get_openapi, VIEWER, "This description", "application/json"),
        get("/docs", health.get_docs, VIEWER, "This description as a page", "text/html"),
        _PAGE,
        get("/dashboard/{file}", handlers.get_file, ANYONE, "Its files", "*/*", (404,)),
    )  # fmt: skip


def routes(*, metrics_public: bool = False) -> tuple[Route, ...]:
    """Every route. `metrics_public`: /metrics needs no credentials."""
    service = _service_routes(ANYONE if metrics_public else VIEWER)
    return (
        ADMISSION_ROUTES
        + REPORT_ROUTES
        + RESERVATION_ROUTES
        + ZONE_ROUTES
        + OPERATION_ROUTES
        + service
    )


# `batch` is a path of its own: a GET of it must be a 405, not a reservation of that id.
_ID_IN_PATH: Final = "{id:(?!batch$)[^{}/]+}"


def routes_by_handler(served: Iterable[Route]) -> dict[Handler, Route]:
    """The route of each handler, as the middleware looks it up."""
    return {route.handler: route for route in served}


def add_routes(router: web.UrlDispatcher, served: Iterable[Route]) -> None:
    """Add the routes to the router; every GET route also serves HEAD."""
    for route in served:
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        for method in methods:
            path = route.path.replace("{id}", _ID_IN_PATH)
            router.add_route(method, path, route.handler, expect_handler=_handle_expect)


async def _handle_expect(request: web.Request) -> None:
    # Other expectations are ignored, as RFC 9110, 10.1.1 allows: a refusal by aiohttp would not be
    # a problem+json.
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

"""Handlers of the dashboard: a page and its static files from the package.

The files contain no data: the page fetches its data with the caller's token, which a browser cannot
send for the page itself. A request for `/` as HTML without credentials therefore gets the same page
with a 401 status: the page asks for a token and keeps it in memory.
"""

import json
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web

from admission.domain import Reason
from admission.domain.types import Role
from admission.errors import Forbidden, NotFound
from admission.http.charges import count_request, mark_known
from admission.http.context import APP_CONTEXT
from admission.http.problems import Unauthorized

PAGE: Final = "index.html"
REASONS: Final = "reasons.js"  # from the table of reasons, not from a file
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    hdrs.CACHE_CONTROL: "no-cache",  # revalidated each time, sent only if the ETag changed
}
_VIEWER: Final = frozenset({Role.VIEWER})


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of the dashboard."""

    body: bytes
    media_type: str
    etag: str


@cache
def dashboard_files() -> dict[str, File]:
    """Name -> file: all files of the dashboard, a quarter of a megabyte."""
    folder = files("admission.http.dashboard") / "static"
    bodies = {one.name: one.read_bytes() for one in folder.iterdir()}
    bodies[REASONS] = _render_reasons()
    return {name: _make_file(name, body) for name, body in bodies.items()}


def _render_reasons() -> bytes:
    """A module with the short text of each reason: with the limiting pool, and without one."""
    texts = {
        one: [one.facts.short, one.facts.short_without_pool or one.facts.short] for one in Reason
    }
    return f"export const REASONS = {json.dumps(texts, indent=2)};\n".encode()


def _make_file(name: str, body: bytes) -> File:
    suffix = name[name.rindex(".") :]
    etag = blake2b(body, digest_size=12).hexdigest()
    return File(body=body, media_type=MEDIA_TYPES[suffix], etag=f'"{etag}"')


async def get_page(request: web.Request) -> web.Response:
    """`GET /`: the dashboard, also for a browser without credentials, which then can sign in."""
    context = request.app[APP_CONTEXT]
    try:
        caller = context.credentials.authenticate(request.headers.get(hdrs.AUTHORIZATION))
        mark_known(request)
        caller.require_role(_VIEWER)
    except (Unauthorized, Forbidden) as refused:
        if hdrs.AUTHORIZATION in request.headers:
            count_request(request, None, context)  # as guesses at every other path
        if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
            raise
        if isinstance(refused, Unauthorized) and hdrs.AUTHORIZATION in request.headers:
            context.refusals.warning("refused GET / of %s", context.addresses.of(request))
        response = _build_response(dashboard_files()[PAGE], status=refused.status)
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        return response
    return _revalidate(request, dashboard_files()[PAGE])


async def get_file(request: web.Request) -> web.Response:
    """`GET /dashboard/{file}`."""
    found = dashboard_files().get(request.match_info["file"])
    if found is None:
        raise NotFound("There is no such file.")
    return _revalidate(request, found)


def _revalidate(request: web.Request, found: File) -> web.Response:
    cached = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if found.etag in [tag.strip().removeprefix("W/") for tag in cached.split(",")]:
        return web.Response(status=304, headers=_HEADERS | {hdrs.ETAG: found.etag})
    return _build_response(found)


def _build_response(found: File, status: int = 200) -> web.Response:
    headers = _HEADERS | {hdrs.ETAG: found.etag, hdrs.CONTENT_TYPE: found.media_type}
    return web.Response(body=found.body, status=status, headers=headers)

"""The dashboard: a page and its files, as they are in the package; there is no build step.

The files hold no data: what the page shows it fetches with the caller's token, which a browser
cannot send for the page itself. So whoever asks for `/` as HTML without credentials gets the same
page, with a 401: it asks for a token and keeps it in memory.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web

from admission.errors import Forbidden, NotFound
from admission.http.auth.tokens import Role
from admission.http.context import APP_CONTEXT
from admission.http.problems import Unauthorized

PAGE: Final = "index.html"
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
    hdrs.CACHE_CONTROL: "no-cache",  # asked for each time, sent only when another version serves
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
    """Name -> file; all of them, a quarter of a megabyte."""
    folder = files("admission.http.dashboard") / "static"
    return {one.name: _file(one.name, one.read_bytes()) for one in folder.iterdir()}


def _file(name: str, body: bytes) -> File:
    suffix = name[name.rindex(".") :]
    etag = blake2b(body, digest_size=12).hexdigest()
    return File(body=body, media_type=MEDIA_TYPES[suffix], etag=f'"{etag}"')


async def page(request: web.Request) -> web.Response:
    """`GET /`: the dashboard; to a browser without good credentials too, so that it can ask."""
    try:
        caller = request.app[APP_CONTEXT].credentials.caller(
            request.headers.get(hdrs.AUTHORIZATION)
        )
        caller.require_role(_VIEWER)
    except (Unauthorized, Forbidden) as refused:
        if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
            raise
        response = _response(dashboard_files()[PAGE], status=refused.status)
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        return response
    return _unless_known(request, dashboard_files()[PAGE])


async def one_file(request: web.Request) -> web.Response:
    """`GET /dashboard/{file}`."""
    found = dashboard_files().get(request.match_info["file"])
    if found is None:
        raise NotFound("There is no such file.")
    return _unless_known(request, found)


def _unless_known(request: web.Request, found: File) -> web.Response:
    known = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if found.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return web.Response(status=304, headers=_HEADERS | {hdrs.ETAG: found.etag})
    return _response(found)


def _response(found: File, status: int = 200) -> web.Response:
    headers = _HEADERS | {hdrs.ETAG: found.etag, hdrs.CONTENT_TYPE: found.media_type}
    return web.Response(body=found.body, status=status, headers=headers)

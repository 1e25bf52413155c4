"""Requests that a web page makes a browser send: from another origin, or by another name.

A page cannot read what another origin answers, but it can make the browser of a user send requests
there, and with a DNS name of its own that changes its address (DNS rebinding) a page becomes the
same origin as this service. Credentials stop both, as a browser does not add a bearer token by
itself. Without credentials these checks do, and they cover every route:

* Without credentials the Host must be a loopback name, an IP address, the name that the service
  listens on, or that of `public_url`. A page of another name cannot have an address as its origin.
* Any method but GET is refused from another origin: by Sec-Fetch-Site, which browsers send and
  pages cannot set (W3C Fetch Metadata), else by Origin, which must have the host of the request, or
  of `public_url`. Clients that are no browsers send neither.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from admission.errors import Forbidden

SEC_FETCH_SITE: Final = "Sec-Fetch-Site"
_OWN_SITES: Final = ("same-origin", "none")  # none: the user typed the address
_SAFE_METHODS: Final = (hdrs.METH_GET, hdrs.METH_HEAD)
Place: TypeAlias = tuple[str, int | None]  # host and port

_PORTS: Final = {"http": 80, "https": 443}


class OriginCheck:
    """Refuses what a page of another origin sends.

    Args:
        names: further host names by which this service is reached, such as that it listens on.
        public_url: address by which the platform reaches it; empty: none.
    """

    def __init__(self, names: frozenset[str] = frozenset(), public_url: str = "") -> None:
        public_host = urlsplit(public_url).hostname
        self._names = names | ({public_host} if public_host else set())
        self._public_place = _parse_origin(public_url) if public_url else None

    def require_own_host(self, request: web.Request) -> None:
        """Raise `Forbidden` if the Host is a name that is not this service's."""
        host = request.headers.get(hdrs.HOST)
        if host is None:  # HTTP/1.0, which no browser sends
            return
        name = _parse_host(host)
        if not (name in self._names or _is_unspoofable(name)):
            raise Forbidden(
                "The Host is not a name of this service: without tokens it serves loopback names, "
                "IP addresses, server.host and the host of server.public_url."
            )

    def require_own_origin(self, request: web.Request) -> None:
        """Raise `Forbidden` if a page of another origin sent a request that may change state."""
        if request.method in _SAFE_METHODS:
            return
        site, origin = request.headers.get(SEC_FETCH_SITE), request.headers.get(hdrs.ORIGIN)
        if site is None and origin is None:
            return
        place = _parse_origin(origin or "")
        if place is not None and place == self._public_place:
            return
        is_own = _has_own_host(request, place, origin or "") if site is None else site in _OWN_SITES
        if not is_own:
            raise Forbidden("A page of another origin may not send this request.")


def _has_own_host(request: web.Request, place: Place | None, origin: str) -> bool:
    # Behind a proxy that ends TLS the scheme differs, so only host and port are compared.
    scheme = origin.partition("://")[0]
    host = request.headers.get(hdrs.HOST, "")
    return place is not None and place == _parse_origin(f"{scheme}://{host}")


@lru_cache(maxsize=64)  # clients use few names
def _is_unspoofable(name: str) -> bool:
    """Whether no page of another server can have this host as its own."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def _parse_host(host: str) -> str:
    """The name in a Host header, without port and brackets; empty if it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _parse_origin(origin: str) -> Place | None:
    """Host and port of an origin; None for `null` and what is malformed."""
    try:
        parts = urlsplit(origin)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None

"""Parses `redis.url`: hosts, their credentials, the name of a primary, TLS. Plain values, no I/O.

    redis://  rediss://  unix://                  as redis-py parses them
    redis+sentinel://h1:p1,h2:p2/PRIMARY?OPTIONS  the sentinels, and the name of the primary
    redis+cluster://h1:p1,h2:p2?OPTIONS           some nodes; CLUSTER SLOTS lists the others

`user:password@` applies to the host after it and to further hosts up to the next `user:password@`:
to sentinels in the first form, to cluster nodes in the second. OPTIONS: `tls=true`, and
`ssl_certfile`, `ssl_keyfile` (paths) of a client certificate.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
MULTI_HOST_SCHEMES: Final = ("redis+sentinel", "redis+cluster")
_PORTS: Final = {"redis+sentinel": 26379, "redis+cluster": 6379}
_OPTIONS: Final = ("tls", "ssl_certfile", "ssl_keyfile")
_SWITCH: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A server of a URL and its credentials; None: those of `redis.username` and `.password`."""

    name: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiHostUrl:
    """A `redis+sentinel://` or `redis+cluster://` URL.

    Args:
        primary: the name by which the sentinels know the primary; empty for a cluster.
        client_cert, client_key: paths of PEM files, where the servers require a certificate.

    Example:
        parse_many_hosts("redis+sentinel://s1:26379,s2:26379/main").primary  # "main"
    """

    hosts: tuple[Host, ...]
    primary: str
    tls: bool
    client_cert: str | None
    client_key: str | None


def validate(url: str) -> None:
    """Check the form of a URL.

    Raises:
        ValueError: the URL is malformed. The message contains no part that may be secret.
    """
    scheme = _split(url).scheme
    if "://" not in url or scheme not in SCHEMES:
        starts = ", ".join(f"{one}://" for one in SCHEMES)
        raise ValueError(f"must be empty (embedded) or start with one of {starts}")
    if scheme in MULTI_HOST_SCHEMES:
        parse_many_hosts(url)


def parse_many_hosts(url: str) -> MultiHostUrl:
    """Parse a URL of several servers.

    Raises:
        ValueError: see `validate`.
    """
    parts = _split(url)
    primary = parts.path.strip("/")
    if parts.scheme == "redis+sentinel" and (not primary or "/" in primary):
        raise ValueError(
            "must end with the name of the primary that the sentinels monitor: .../main"
        )
    if parts.scheme == "redis+cluster" and primary:
        raise ValueError("must end after the last host: a cluster has no path")
    options = _parse_options(parts.query)
    return MultiHostUrl(
        hosts=_parse_hosts(parts.netloc, _PORTS[parts.scheme]),
        primary=unquote(primary),
        tls=_SWITCH[options.get("tls", "false")],
        client_cert=options.get("ssl_certfile"),
        client_key=options.get("ssl_keyfile"),
    )


def has_password(url: str) -> bool:
    """Whether the URL contains a password."""
    return any(":" in one.rpartition("@")[0] for one in _split_hosts(_split(url)))


def redact(url: str) -> str:
    """Return the URL without credentials and options, fit for a log."""
    parts = _split(url)
    netloc = ",".join(one.rpartition("@")[2] for one in _split_hosts(parts))
    return f"{parts.scheme}://{netloc}{parts.path}"


def get_scheme(url: str) -> str:
    """Return the scheme in lower case; empty if there is none."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""


def _split(url: str) -> SplitResult:
    try:
        if get_scheme(url) not in MULTI_HOST_SCHEMES:
            return urlsplit(url)
        # Newer versions of `urlsplit` refuse an IPv6 address that is not the only host.
        scheme, _, rest = url.partition("://")
        hosts = re.split(r"[/?#]", rest, maxsplit=1)[0]
        return urlsplit(f"{scheme}://{rest[len(hosts) :]}")._replace(netloc=hosts)
    except ValueError:
        raise ValueError("is not a URL") from None


def _split_hosts(parts: SplitResult) -> list[str]:
    """Each host with its login; a comma separates hosts in URLs of several servers only."""
    return parts.netloc.split(",") if parts.scheme in MULTI_HOST_SCHEMES else [parts.netloc]


def _parse_hosts(netloc: str, port: int) -> tuple[Host, ...]:
    found: list[Host] = []
    login = ""
    for one in netloc.split(","):
        own, at, place = one.rpartition("@")
        login = own if at else login
        found.append(_parse_host(place, port, login))
    return tuple(found)


def _parse_host(place: str, port: int, login: str) -> Host:
    parts = _split(f"//{place}")
    try:
        found = parts.port or port
    except ValueError:
        raise ValueError("has a host whose port is not a port") from None
    if not parts.hostname:
        raise ValueError("must name a host before and after each comma")
    username, _, password = login.partition(":")
    return Host(
        name=parts.hostname,
        port=found,
        username=unquote(username) or None,
        password=unquote(password) or None,
    )


def _parse_options(query: str) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise ValueError(f"has an unknown option {unknown[0]}; there are {', '.join(_OPTIONS)}")
    if options.get("tls", "false") not in _SWITCH:
        raise ValueError("must have tls=true or tls=false")
    return options

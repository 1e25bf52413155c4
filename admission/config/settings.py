"""The tables of the configuration file, one model each, and `Settings`, all of them together.

These are plain values; `config` reads them from a file and the environment.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from admission.config import redis_url
from admission.config.base import FilePath, OptionalHttpUrl, Section
from admission.config.secret_refs import Secret
from admission.config.sources.registry import SourceSettings
from admission.domain.policy.zone import ZonePolicy
from admission.domain.types import Name, Text
from admission.domain.validation import SHA256, Problem, raise_problems

SHUTDOWN_MS_MAX: Final = 600_000
SCOPE_MAX: Final = 5_000


def _redis_url(url: str) -> str:
    if url:
        redis_url.validate(url)
    return url


RedisUrl: TypeAlias = Annotated[
    str, StringConstraints(max_length=2_000), AfterValidator(_redis_url)
]
Digest: TypeAlias = Annotated[str, StringConstraints(pattern=SHA256), AfterValidator(str.lower)]
ScopeNames: TypeAlias = Annotated[
    tuple[Name, ...], Field(strict=False, min_length=1, max_length=SCOPE_MAX)
]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. No name but localhost is looked up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServerSettings(Section):
    """Where the service listens. Relative paths start at the working directory."""

    host: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "127.0.0.1"
    """Address to listen on. Anything but loopback needs tokens, or `allow_anonymous`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on; 0: any free one, which the first line on standard output names."""
    workers: Annotated[int, Field(ge=1, le=128)] = 1
    """Processes that share the port. More than one helps once a core is busy; each has its own
    connections to Redis."""
    # Once loaded it is always filled.
    default_zone: str = ""
    """The zone of requests that name none. Empty: the first zone of the file."""
    public_url: OptionalHttpUrl = ""
    """What `report_url` starts with, as the platform reaches this service. Empty: the address that
    the request was sent to."""
    tls_cert: FilePath | None = None
    """PEM file of the server's certificate with its chain: the service then speaks TLS only. SIGHUP
    reads it again."""
    tls_key: FilePath | None = None
    """PEM file of the certificate's private key."""
    client_ca: FilePath | None = None
    """PEM file of the authorities whose client certificates are demanded (mutual TLS). A gate only:
    tokens still give the roles."""
    metrics_public: bool = False
    """Whether `/metrics` needs no token once tokens exist."""
    shutdown_delay_ms: Annotated[int, Field(ge=0, le=SHUTDOWN_MS_MAX)] = 0
    """After SIGTERM, go on serving this long while `/readyz` says no, so that a balancer looks away
    first."""
    shutdown_grace_ms: Annotated[int, Field(ge=0, le=SHUTDOWN_MS_MAX)] = 5_000
    """Then, how long open requests may take to finish."""
    allow_anonymous: bool = False
    """Says aloud that no token at all is meant although `host` is not a loopback address. Whoever
    reaches the port may then do everything."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        raise_problems("server", self._tls_problems())
        return self

    def _tls_problems(self) -> Iterator[Problem]:
        if self.tls_cert and not self.tls_key:
            yield Problem(place=("tls_key",), message="is required with tls_cert")
        if self.tls_key and not self.tls_cert:
            yield Problem(place=("tls_cert",), message="is required with tls_key")
        if self.client_ca and not self.tls_cert:
            yield Problem(place=("client_ca",), message="needs tls_cert and tls_key")


class RedisSettings(Section):
    """Where the ledger lives. The engine follows from `url`: empty is an embedded server that the
    service starts and stops, for one machine only."""

    url: Annotated[RedisUrl, Field(repr=False)] = ""
    """`redis://host:6379/0`, `rediss://…` (TLS), `unix:///path`,
    `redis+sentinel://h1:26379,h2:26379/master`, `redis+cluster://h1:6379,h2:6379`; the last two
    with `?tls=true` for TLS. Empty: embedded. No password in it: see
    [deploy/acl](../deploy/acl/README.md)."""
    embedded: bool = False
    """Says aloud that an empty `url` is meant on a non-loopback host."""
    data_dir: FilePath = Path("data")
    """Folder of the embedded server's data; private to the service."""
    durability: Literal["everysec", "always"] = "everysec"
    """Embedded: `always` syncs each write to disk before it is answered, `everysec` once a second.
    What a crash loses is healed by recovery either way."""
    key_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "adm"
    """What every key starts with. Two deployments on one Redis need two; two deployments for one
    platform zone must never be."""
    username: Text | None = None
    """ACL user; [deploy/acl](../deploy/acl/README.md) has the least that it must be allowed."""
    password: Secret | None = None
    """Of that user, or the server's."""
    ca_file: FilePath | None = None
    """PEM file of the authorities trusted for `rediss://`. Absent: the system's."""
    timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 500
    """Longest wait for a connection, for a free connection and for a reply. A request is answered
    within 1.8 times this, with 503 if need be; while Redis stays away, at once."""

    @property
    def scheme(self) -> str:
        """The part of `url` before `://`, empty for the embedded server."""
        return urlsplit(self.url).scheme

    @property
    def place(self) -> str:
        """Where it is, in words fit for a log: without credentials and options."""
        if not self.url:
            return f"embedded in {self.data_dir}"
        return redis_url.redact(self.url)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        raise_problems("redis", self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        if self.url and self.embedded:
            yield Problem(place=("embedded",), message="must be false when a url is given")
        for key in ("username", "password"):
            if getattr(self, key) and not self.url:
                message = "needs a url: the embedded server has no users"
                yield Problem(place=(key,), message=message)
        if self.ca_file and self.scheme in ("", "unix", "redis"):
            message = "needs TLS: a url that starts with rediss://, or of sentinels or a cluster"
            yield Problem(place=("ca_file",), message=message)
        of_one = self.scheme not in redis_url.MULTI_HOST_SCHEMES  # there each host may have its own
        if self.password and of_one and redis_url.has_password(self.url):
            yield Problem(place=("password",), message="is given twice: here and in url")


class LogSettings(Section):
    """One line a record, on standard error. No secret is ever logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least grave that is logged."""
    format: Literal["console", "json"] = "console"
    """`json`: one object a line, for collectors."""
    decisions: Literal["none", "denies", "all"] = "none"
    """Which decisions get a line of their own."""


class LimitSettings(Section):
    """Limits of the service itself, not of the platform."""

    renamed_keys: ClassVar = {"waiters": "max_waiters", "event_clients": "max_event_clients"}

    requests_per_s_per_caller: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    """Requests per second of one caller (token, else address); beyond it 429. A batch is one
    request. 0: no limit."""
    max_waiters: Annotated[int, Field(ge=0, le=100_000)] = 2_000
    """Requests with `wait_ms` that may be open at once, per process; beyond it they are answered
    without waiting."""
    max_event_clients: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Streams of `/v1/events` that may be open at once, per process."""


class TokenSettings(Section):
    """Who may do what; one entry for each token. None at all: loopback only, and everything is
    allowed."""

    name: Name
    """Who it is, in logs, in the audit and as default `owner` of reservations."""
    sha256: Digest
    """Digest of the token; `admission token new` prints both. The token itself is never
    configured."""
    role: Literal["dialer", "source", "operator", "viewer"]
    """`dialer` asks and reports, `source` pushes snapshots, `viewer` looks, `operator` may do
    everything."""
    campaigns: ScopeNames | None = None
    """Dialer only: the campaigns it may ask for. Absent: all."""
    zones: ScopeNames | None = None
    """The zones it reaches. Absent: all."""
    expires: date | None = None
    """Void from the start of that day (UTC)."""

    @property
    def expires_at_s(self) -> float | None:
        """Unix time in seconds from which the token is void."""
        if self.expires is None:
            return None
        return datetime.combine(self.expires, time(), tzinfo=UTC).timestamp()

    @model_validator(mode="after")
    def _only_dialers_have_campaigns(self) -> Self:
        if self.campaigns is not None and self.role != "dialer":
            message = f"is for the role dialer only, not {self.role}"
            raise_problems("token", [Problem(place=("campaigns",), message=message)])
        return self


class AuthSettings(Section):
    """`[auth]`: the tokens. None at all: whoever reaches the service may do everything."""

    tokens: Annotated[tuple[TokenSettings, ...], Field(strict=False)] = ()


class Settings(Section):
    """The whole configuration, checked. `zones` is the policy as the file has it."""

    server: ServerSettings = ServerSettings()
    redis: RedisSettings = RedisSettings()
    log: LogSettings = LogSettings()
    limits: LimitSettings = LimitSettings()
    auth: AuthSettings = AuthSettings()
    sources: dict[Name, SourceSettings] = Field(default_factory=dict)
    zones: dict[Name, ZonePolicy]

"""The tables of the configuration file, one model each, and `Settings` with all of them.

These are plain values; `load` reads them from a file and the environment.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from admission.config import redis_url
from admission.config.base import FilePath, OptionalHttpUrl, Section
from admission.config.secret_refs import Secret
from admission.config.sources.registry import SourceSettings
from admission.domain import Name
from admission.domain.policy import ZonePolicy
from admission.domain.types import ANY_POOL, Role, Text
from admission.domain.validation import SHA256, Problem, raise_problems

# Ten minutes: longer than any supervisor waits (systemd: 90 s, Kubernetes: 30 s by default).
SHUTDOWN_MS_MAX: Final = 600_000
# Zones or campaigns of one token; a policy has at most 5000 campaigns.
SCOPE_MAX: Final = 5_000


def _validate_redis_url(url: str) -> str:
    if url:
        redis_url.validate(url)
    return url


def _validate_network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError("must be an address, or a network such as 10.0.0.0/8") from None


RedisUrl: TypeAlias = Annotated[
    str, StringConstraints(max_length=2_000), AfterValidator(_validate_redis_url)
]
Network: TypeAlias = Annotated[
    str, StringConstraints(max_length=50), AfterValidator(_validate_network)
]
Digest: TypeAlias = Annotated[str, StringConstraints(pattern=SHA256), AfterValidator(str.lower)]
ScopeNames: TypeAlias = Annotated[
    tuple[Name, ...], Field(strict=False, min_length=1, max_length=SCOPE_MAX)
]
# A pool, or every pool of a kind.
PUSHED_POOL: Final = rf"{ANY_POOL}|^[a-z][a-z0-9_-]{{0,31}}:\*$"
PushedPools: TypeAlias = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=PUSHED_POOL)], ...],
    Field(strict=False, min_length=1, max_length=SCOPE_MAX),
]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; of names, only `localhost` counts."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServerSettings(Section):
    """The listener of the service. Relative paths start at the working directory."""

    host: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "127.0.0.1"
    """Address to listen on. Any other than loopback needs tokens, or `allow_anonymous`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on; 0: any free one, which the first line on standard output names."""
    workers: Annotated[int, Field(ge=1, le=128)] = 1
    """Processes that share the port. More than one helps once a core is saturated; each has its own
    connections to Redis."""
    # Loading a file replaces an empty value by the first zone.
    default_zone: str = ""
    """The zone of requests that name none. Empty: the first zone of the file."""
    public_url: OptionalHttpUrl = ""
    """Prefix of every `report_url`: the address at which the platform reaches this service. Empty:
    the address to which the admission request was sent."""
    trusted_proxies: Annotated[tuple[Network, ...], Field(strict=False, max_length=100)] = ()
    """Addresses or networks (`10.0.0.0/8`) of the proxies in front of the service. Of their
    requests the client's address is the first in `X-Forwarded-For`, from the right, that is no
    trusted proxy's: for the rate and the places of callers without a token, and for the log. The
    PROXY protocol is not spoken: let the proxy write the header (HAProxy: `option forwardfor`)."""
    tls_cert: FilePath | None = None
    """PEM file of the server's certificate with its chain. With it the service speaks TLS only;
    SIGHUP reloads it."""
    tls_key: FilePath | None = None
    """PEM file of the certificate's private key."""
    client_ca: FilePath | None = None
    """PEM file of the authorities whose client certificates are required (mutual TLS). It restricts
    connections only; roles still come from tokens."""
    metrics_public: bool = False
    """Whether `/metrics` is readable without a token although tokens are configured."""
    shutdown_delay_ms: Annotated[int, Field(ge=0, le=SHUTDOWN_MS_MAX)] = 0
    """After SIGTERM the service continues this long while `/readyz` answers 503, so that load
    balancers stop sending requests first."""
    shutdown_grace_ms: Annotated[int, Field(ge=0, le=SHUTDOWN_MS_MAX)] = 5_000
    """Time for open requests to finish after `shutdown_delay_ms`."""
    allow_anonymous: bool = False
    """Permits a `host` other than loopback without any token. Every client that reaches the port
    then has all rights. Its Host header must be an IP address, `host`, or the host of
    `public_url`."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        raise_problems("server", self._find_tls_problems())
        return self

    def _find_tls_problems(self) -> Iterator[Problem]:
        if self.tls_cert and not self.tls_key:
            yield Problem(place=("tls_key",), message="is required with tls_cert")
        if self.tls_key and not self.tls_cert:
            yield Problem(place=("tls_cert",), message="is required with tls_key")
        if self.client_ca and not self.tls_cert:
            yield Problem(place=("client_ca",), message="needs tls_cert and tls_key")


class RedisSettings(Section):
    """The Redis of the ledger. An empty `url` is an embedded server, which the service starts and
    stops: for one machine only."""

    url: Annotated[RedisUrl, Field(repr=False)] = ""
    """`redis://host:6379/0`, `rediss://…` (TLS), `unix:///path`,
    `redis+sentinel://h1:26379,h2:26379/main`, `redis+cluster://h1:6379,h2:6379`; the last two
    with `?tls=true` for TLS. Empty: embedded. It contains no password: see
    [deploy/acl](../deploy/acl/README.md)."""
    embedded: bool = False
    """Permits an empty `url` on a host other than loopback."""
    data_dir: FilePath = Path("data")
    """Directory of the embedded server's data; only the service may read it."""
    durability: Literal["everysec", "always"] = "everysec"
    """Embedded: `always` syncs each write to disk before its answer, `everysec` once a second.
    After a crash the zones recover safely in both cases."""
    key_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "adm"
    """Prefix of every key. Two deployments on one Redis need different prefixes; two deployments
    for one zone of a platform would each grant its ports."""
    username: Text | None = None
    """ACL user; [deploy/acl](../deploy/acl/README.md) lists the permissions that it needs."""
    password: Secret | None = None
    """Password of that user, or of the server (`requirepass`)."""
    ca_file: FilePath | None = None
    """PEM file of the certificate authorities that are trusted for `rediss://`. Absent: those of
    the system."""
    timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 500
    """Longest wait for a connection, for a free connection and for a reply. A request is answered
    within 1.8 times this, with 503 if Redis does not answer; during an outage, immediately."""

    @property
    def scheme(self) -> str:
        """The part of `url` before `://`, empty for the embedded server."""
        return redis_url.get_scheme(self.url)

    @property
    def place(self) -> str:
        """Address for logs, without credentials and options."""
        if not self.url:
            return f"embedded in {self.data_dir}"
        return redis_url.redact(self.url)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        raise_problems("redis", self._find_problems())
        return self

    def _find_problems(self) -> Iterator[Problem]:
        if self.url and self.embedded:
            yield Problem(place=("embedded",), message="must be false when a url is given")
        for key in ("username", "password"):
            if getattr(self, key) and not self.url:
                message = "needs a url: the embedded server has no users"
                yield Problem(place=(key,), message=message)
        if self.ca_file and self.scheme in ("", "unix", "redis"):
            message = "needs TLS: a url that starts with rediss://, or of sentinels or a cluster"
            yield Problem(place=("ca_file",), message=message)
        single = (
            self.scheme not in redis_url.MULTI_HOST_SCHEMES
        )  # there each host may have its own password
        if self.password and single and redis_url.has_password(self.url):
            yield Problem(place=("password",), message="is given twice: here and in url")


class LogSettings(Section):
    """The log: one line for each record, on standard error, without secrets."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest severity that is logged."""
    format: Literal["console", "json"] = "console"
    """`console` for people; `json` for log collectors, one object on each line."""
    decisions: Literal["none", "denies", "all"] = "none"
    """Decisions that are logged, one line each."""
    audit: bool = False
    """Whether changes by operators are logged too, beside the audit that each zone keeps."""


class LimitSettings(Section):
    """Limits of the service itself, independent of the platform's capacity."""

    renamed_keys: ClassVar = {"waiters": "max_waiters", "event_clients": "max_event_clients"}

    requests_per_s_per_caller: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    """Requests per second of one caller (token, else address), for each process; further ones are
    answered 429. A request counts as many as it holds: admissions by their `count`, reports of a
    batch, ten pools of a snapshot. 0: no limit."""
    max_waiters: Annotated[int, Field(ge=0, le=100_000)] = 2_000
    """Requests with `wait_ms` that may wait at the same time, for each process; further ones are
    answered without waiting. Callers share them: one alone may have 4/5, several greedy ones have
    equal parts, and a caller of whom none waits finds a place."""
    max_event_clients: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Streams of `/v1/events` that may be open at the same time, for each process."""


class TokenSettings(Section):
    """Roles and scopes; one entry for each token. Without any token the service listens on loopback
    only, and every request is permitted."""

    name: Name
    """Name of the caller in logs, in the audit and as default `owner` of reservations."""
    sha256: Digest
    """SHA-256 digest of the token; `admission token new` prints both. The token itself is not
    stored in the configuration."""
    role: Annotated[Role, Field(strict=False)]
    """`dialer` requests admissions and reports, `source` pushes snapshots, `viewer` reads,
    `operator` has all rights."""
    campaigns: ScopeNames | None = None
    """Role `dialer` only: the campaigns to which the token is limited. Absent: all."""
    zones: ScopeNames | None = None
    """The zones to which the token is limited. Absent: all."""
    pools: PushedPools | None = None
    """Role `source` only: the pools whose counts the token may push, such as `agent:*`,
    `channel:sip`, `mpp:mpp1:sip`. Absent: all, but those that a polled source counts."""
    expires: date | None = None
    """The token is invalid from the start of this day (UTC). Absent: it does not expire."""

    @property
    def expires_at_s(self) -> float | None:
        """Unix time in seconds from which the token is invalid; None: never."""
        if self.expires is None:
            return None
        return datetime.combine(self.expires, time(), tzinfo=UTC).timestamp()

    @model_validator(mode="after")
    def _check_campaigns(self) -> Self:
        roles = {"campaigns": Role.DIALER, "pools": Role.SOURCE}
        raise_problems(
            "token",
            [
                Problem(place=(key,), message=f"is for the role {role} only, not {self.role}")
                for key, role in roles.items()
                if getattr(self, key) is not None and self.role is not role
            ],
        )
        return self


class AuthSettings(Section):
    """The tokens. Without any, every request is permitted."""

    tokens: Annotated[tuple[TokenSettings, ...], Field(strict=False)] = ()


class Settings(Section):
    """The whole configuration, validated. `zones` are the policies of the file.

    Example:
        settings = load_settings(Path("admission.toml"), os.environ)
        settings.zones["East"].channels
    """

    server: ServerSettings = ServerSettings()
    redis: RedisSettings = RedisSettings()
    log: LogSettings = LogSettings()
    limits: LimitSettings = LimitSettings()
    auth: AuthSettings = AuthSettings()
    sources: dict[Name, SourceSettings] = Field(default_factory=dict)
    zones: dict[Name, ZonePolicy]

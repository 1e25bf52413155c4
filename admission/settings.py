"""The tables of the configuration file, one model each, and `Settings`, all of them together.

These are plain values; `config` reads them from a file and the environment.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from admission import redis_url
from admission.explain import SHA256, Problem, refuse
from admission.model import Name, Text
from admission.policy_zone import ZonePolicy
from admission.secret_refs import Secret
from admission.settings_base import FilePath, OptionalHttpUrl, Section
from admission.settings_sources import SourceSettings

SHUTDOWN_MS_MAX: Final = 600_000
SCOPE_MAX: Final = 5_000


def _redis_url(url: str) -> str:
    if url:
        redis_url.check(url)
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
    """`[server]`: where the service listens. Relative paths start at the working directory.

    `default_zone` empty means the first zone of the file; once loaded it is always filled.
    `allow_anonymous` says aloud that no token at all is meant on a non-loopback host.
    """

    host: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    workers: Annotated[int, Field(ge=1, le=128)] = 1
    default_zone: str = ""
    public_url: OptionalHttpUrl = ""
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    client_ca: FilePath | None = None
    metrics_public: bool = False
    shutdown_delay_ms: Annotated[int, Field(ge=0, le=SHUTDOWN_MS_MAX)] = 0
    shutdown_grace_ms: Annotated[int, Field(ge=0, le=SHUTDOWN_MS_MAX)] = 5_000
    allow_anonymous: bool = False

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        refuse("server", self._tls_problems())
        return self

    def _tls_problems(self) -> Iterator[Problem]:
        if self.tls_cert and not self.tls_key:
            yield Problem(place=("tls_key",), message="is required with tls_cert")
        if self.tls_key and not self.tls_cert:
            yield Problem(place=("tls_cert",), message="is required with tls_key")
        if self.client_ca and not self.tls_cert:
            yield Problem(place=("client_ca",), message="needs tls_cert and tls_key")


class RedisSettings(Section):
    """`[redis]`: where the ledger lives. An empty `url` is the embedded server.

    `embedded` says aloud that an empty `url` is meant on a non-loopback host; `data_dir` and
    `durability` are the embedded server's; `timeout_ms` bounds a connection and a reply.
    """

    url: Annotated[RedisUrl, Field(repr=False)] = ""
    embedded: bool = False
    data_dir: FilePath = Path("data")
    durability: Literal["everysec", "always"] = "everysec"
    key_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "adm"
    username: Text | None = None
    password: Secret | None = None
    ca_file: FilePath | None = None
    timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 500

    @property
    def scheme(self) -> str:
        """The part of `url` before `://`, empty for the embedded server."""
        return urlsplit(self.url).scheme

    @property
    def place(self) -> str:
        """Where it is, in words fit for a log: without credentials and options."""
        if not self.url:
            return f"embedded in {self.data_dir}"
        return redis_url.shown(self.url)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse("redis", self._problems())
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
        of_one = self.scheme not in redis_url.OF_MANY  # there each host may have its own
        if self.password and of_one and redis_url.has_password(self.url):
            yield Problem(place=("password",), message="is given twice: here and in url")


class LogSettings(Section):
    """`[log]`: how much is logged, and how. `decisions`: which of them get a line each."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
    decisions: Literal["none", "denies", "all"] = "none"


class LimitSettings(Section):
    """`[limits]` of the service itself, not of the platform. 0 requests per second: no limit."""

    requests_per_s_per_caller: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    waiters: Annotated[int, Field(ge=0, le=100_000)] = 2_000
    event_clients: Annotated[int, Field(ge=0, le=10_000)] = 100


class TokenSettings(Section):
    """One of `[[auth.tokens]]`: who holds a token with that digest, and what it may reach.

    `campaigns` and `zones` None: all. `expires`: it is void from the start of that day (UTC).
    """

    name: Name
    sha256: Digest
    role: Literal["dialer", "source", "operator", "viewer"]
    campaigns: ScopeNames | None = None
    zones: ScopeNames | None = None
    expires: date | None = None

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
            refuse("token", [Problem(place=("campaigns",), message=message)])
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

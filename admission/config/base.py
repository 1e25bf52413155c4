"""Base classes and value types of the configuration's tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from yarl import URL

from admission.domain.validation import Problem, raise_problems

# An hour: a longer interval between queries leaves every snapshot stale.
INTERVAL_MS_MAX: Final = 3_600_000
_HOST_NAME: Final = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,253}[A-Za-z0-9])?$"
_FINGERPRINT: Final = r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"


def _validate_http_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is not a port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with http:// or https:// and name a host")
    if parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("must be a plain address, without spaces and without #")
    try:
        URL(url)  # a host that IDNA cannot express
    except ValueError:
        raise ValueError("has a host name that does not exist in the DNS") from None
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or password: they have settings of their own")
    return url


def _validate_optional_http_url(url: str) -> str:
    return url and _validate_http_url(url)


_UrlText: TypeAlias = Annotated[str, StringConstraints(max_length=2_000)]
HttpUrl: TypeAlias = Annotated[_UrlText, AfterValidator(_validate_http_url)]
OptionalHttpUrl: TypeAlias = Annotated[_UrlText, AfterValidator(_validate_optional_http_url)]
FilePath: TypeAlias = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, nothing is coerced, values are not shown.

    Attributes:
        renamed_keys: former name of a setting -> its name now. A file or an environment that still
            has the former name is refused with a message that says the new one.

    Example:
        class LimitSettings(Section):
            renamed_keys = {"waiters": "max_waiters"}
            max_waiters: int = 2_000
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class SourceSection(Section):
    """Settings that every polled platform has."""

    url: HttpUrl
    """Address of the platform; `https://` outside of a laboratory."""
    timeout_ms: Annotated[int, Field(ge=10, le=120_000)] = 3_000
    """Longest time of one query, from connecting to the last byte of the answer."""
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 0
    """Shortest time between the starts of any two queries of this source, over all its zones."""
    ca_file: FilePath | None = None
    """PEM file of the certificate authorities that are trusted. Absent: those of the system."""
    verify_tls: bool = True
    """Whether the platform's certificate is verified. `false` trusts every certificate: for
    laboratories only."""
    tls_server_name: Annotated[str, StringConstraints(pattern=_HOST_NAME)] | None = None
    """Name that the certificate must have instead of the host of `url`, for appliances whose
    certificate has another. Its authority is verified as before."""
    tls_fingerprint: Annotated[str, StringConstraints(pattern=_FINGERPRINT)] | None = None
    """SHA-256 of the one certificate that is accepted, in hexadecimal, for self-signed ones:
    `openssl x509 -noout -fingerprint -sha256`. It replaces the check of authority, name and
    expiry, so a renewed certificate is refused until this is changed."""
    tls_min_version: Literal["1.0", "1.1", "1.2", "1.3"] = "1.2"
    """Oldest version of TLS. `1.0` and `1.1` also allow the weak ciphers of that time."""
    client_cert: FilePath | None = None
    """PEM file with the certificate that this service shows to the platform, and its chain."""
    client_key: FilePath | None = None
    """PEM file of its private key. Absent: the key is in `client_cert`."""

    @property
    def place(self) -> str:
        """Host and port, for logs and error messages."""
        return urlsplit(self.url).netloc

    @property
    def warnings(self) -> tuple[str, ...]:
        """What weakens the connection, a line each, for the log and `admission check`."""
        return tuple(self._find_weaknesses())

    def _find_weaknesses(self) -> Iterator[str]:
        if not self.verify_tls:
            yield "verify_tls = false trusts every certificate: anyone on the way can read it all"
        if self.tls_min_version in ("1.0", "1.1"):
            yield (
                f"tls_min_version = {self.tls_min_version} allows TLS and ciphers that are broken: "
                "update the platform, or keep the connection inside a protected network"
            )
        if self.tls_server_name:
            yield f"tls_server_name accepts the certificate of {self.tls_server_name} for this url"
        if self.tls_fingerprint:
            yield "tls_fingerprint accepts one certificate, also once it is expired or revoked"

    @model_validator(mode="after")
    def _check_trust(self) -> Self:
        raise_problems("source", self._trust_problems())
        return self

    def _trust_problems(self) -> Iterator[Problem]:
        if self.ca_file and not self.url.startswith("https:"):
            yield Problem(place=("ca_file",), message="needs TLS: a url that starts with https://")
        if self.client_key and not self.client_cert:
            yield Problem(place=("client_key",), message="needs client_cert")
        for key in ("tls_server_name", "tls_fingerprint", "client_cert"):
            if getattr(self, key) and not self.url.startswith("https:"):
                message = "needs TLS: a url that starts with https://"
                yield Problem(place=(key,), message=message)
        for key in ("ca_file", "tls_server_name", "tls_fingerprint"):
            if getattr(self, key) and not self.verify_tls:
                yield Problem(place=(key,), message="has no effect with verify_tls = false")
        for key in ("ca_file", "tls_server_name"):
            if getattr(self, key) and self.tls_fingerprint:
                yield Problem(place=(key,), message="has no effect with tls_fingerprint")

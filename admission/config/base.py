"""Base classes and value types of the configuration's tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from admission.domain.validation import Problem, raise_problems

# An hour: a longer interval between queries leaves every snapshot stale.
INTERVAL_MS_MAX: Final = 3_600_000


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

    @property
    def place(self) -> str:
        """Host and port, for logs and error messages."""
        return urlsplit(self.url).netloc

    @model_validator(mode="after")
    def _check_trust(self) -> Self:
        raise_problems("source", self._trust_problems())
        return self

    def _trust_problems(self) -> Iterator[Problem]:
        if self.ca_file and not self.url.startswith("https:"):
            yield Problem(place=("ca_file",), message="needs TLS: a url that starts with https://")
        if self.ca_file and not self.verify_tls:
            yield Problem(place=("ca_file",), message="has no effect with verify_tls = false")

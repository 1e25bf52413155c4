"""The `[sources.X]` table of any platform that answers HTTP with JSON or Prometheus metrics."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

# jmespath ships no types.
import jmespath  # type: ignore[import-untyped]
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from admission.config.base import HttpUrl, Section, SourceSection
from admission.config.secret_refs import Secret, resolve_secret
from admission.config.sources.experience_portal import USERNAME
from admission.domain.policy import ZonePolicy
from admission.domain.types import Name, PoolName
from admission.domain.validation import Location, Problem, raise_problems

ZONE: Final = "{zone}"
EXPRESSION_CHARS_MAX: Final = 2_000
COUNTS_MAX: Final = 200
HEADERS_MAX: Final = 32
BODY_CHARS_MAX: Final = 65_536
UNITS_MAX: Final = 1_000
HEADER_NAME: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"
_HEADER_VALUE: Final = re.compile(r"[\t -~\u0080-\uffff]{0,4000}")
# What the service itself decides: a body's length, the host, how bodies are coded.
_OWN_HEADERS: Final = frozenset(
    {"connection", "content-length", "host", "transfer-encoding", "accept-encoding"}
)
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "none": (),
    "basic": ("username", "password"),
    "digest": ("username", "password"),
    "bearer": ("token",),
}
_SELECTOR: Final = re.compile(
    r"(?P<sum>sum\()?\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*"
    r"(?:\{(?P<labels>.*)\})?\s*(?(sum)\))",
    re.DOTALL,
)
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_LITERAL: Final = re.compile(r"`?([0-9]{1,10})`?")


class Selector(Section):
    """A parsed expression of the format `prometheus`: `name{label="value"}`, its sum, a number.

    Attributes:
        literal: the number; None: a metric is meant.
    """

    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    is_sum: bool = False
    literal: int | None = None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a sample is meant; a label that the expression does not name may be anything."""
        return name == self.name and all(labels.get(k) == v for k, v in self.labels.items())


def parse_selector(text: str) -> Selector:
    """Parse an expression of the format `prometheus`.

    Raises:
        ValueError: it is none.
    """
    if literal := _LITERAL.fullmatch(text.strip()):
        return Selector(literal=int(literal[1]))
    match = _SELECTOR.fullmatch(text.strip())
    labels = _parse_labels(match["labels"] or "") if match else None
    if match is None or labels is None:
        raise ValueError(
            'is not metric{label="value"}, sum(metric{label="value"}) or a number: other functions '
            "of PromQL need a Prometheus server, see docs/platforms"
        )
    return Selector(name=match["name"], labels=labels, is_sum=bool(match["sum"]))


def _parse_labels(text: str) -> dict[str, str] | None:
    labels, at = {}, 0
    while text[at:].strip():
        label = _LABEL.match(text, at)
        if label is None:
            return None
        labels[label[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], label[2])
        at = label.end()
    return labels


def compile_jmespath(text: str) -> Any:
    """Compile an expression of the format `json`.

    Raises:
        ValueError: it is no JMESPath.
    """
    try:
        return jmespath.compile(text)
    except JMESPathError as error:
        # The message draws the place with a caret on lines of its own.
        reason = " ".join(str(error).split("\n")[0].split())
        raise ValueError(f"is not JMESPath: {reason}"[:300]) from None
    except RecursionError:
        raise ValueError("is not JMESPath: it is nested too deeply") from None


Expression: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=EXPRESSION_CHARS_MAX)
]


class CountSettings(Section):
    """The expressions of one channel or pool. Each gives a whole number; anything else is an error
    of the source, never 0."""

    total: Expression
    """How many there are: JMESPath on the answer, or with `format = "prometheus"` a metric. A
    literal is allowed: `` "`60`" ``."""
    used: Expression | None = None
    """How many are in use."""
    unused: Expression | None = None
    """How many are free, instead of `used`."""

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        problems = []
        if (self.used is None) == (self.unused is None):
            problems.append(Problem(place=("used",), message="is required, or unused instead"))
        raise_problems("counts", problems)
        return self

    def expressions(self) -> dict[str, str]:
        """Key -> expression."""
        given = {"total": self.total, "used": self.used, "unused": self.unused}
        return {key: text for key, text in given.items() if text is not None}


def _resolve_header(
    value: Any, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> SecretStr:
    """A header's value: text in the file, or a reference to a secret."""
    found = SecretStr(value) if isinstance(value, str) else resolve_secret(value, info)
    if not _HEADER_VALUE.fullmatch(found.get_secret_value()):
        raise ValueError("has characters that a header must not have, or more than 4000")
    return found


HeaderName: TypeAlias = Annotated[str, StringConstraints(pattern=HEADER_NAME)]
HeaderValue: TypeAlias = Annotated[SecretStr, WrapValidator(_resolve_header)]


def _check_placeholder(url: str) -> str:
    if set(re.findall(r"\{[^}]*\}", url)) - {ZONE}:
        raise ValueError("has braces: only {zone} is replaced, others are written %7B and %7D")
    return url


class HttpJsonSettings(SourceSection):
    """Any platform that states its counts over HTTP, as JSON or Prometheus metrics: Kamailio,
    OpenSIPS, Asterisk, FreeSWITCH, Prometheus ...: see
    [platforms/http-json.md](platforms/http-json.md)."""

    type: Literal["http_json"] = "http_json"
    """Selects the platform."""
    url: Annotated[HttpUrl, AfterValidator(_check_placeholder)]
    """Address that answers with the counts. `{zone}` in it becomes the zone's `source_zone`,
    percent-encoded."""
    method: Literal["GET", "POST"] = "GET"
    """HTTP method."""
    body: Annotated[str, StringConstraints(max_length=BODY_CHARS_MAX)] = ""
    """Body of the request, such as a JSON-RPC call. `{zone}` in it becomes `source_zone` as JSON
    writes it inside of quotes."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=HEADERS_MAX)
    """Headers of the request: text, or a secret. A `body` without `Content-Type` is sent as
    `application/json`."""
    auth: Literal["none", "basic", "digest", "bearer"] = "none"
    """HTTP authentication scheme."""
    username: Annotated[str, StringConstraints(pattern=USERNAME)] | None = None
    """User of `basic` and `digest`."""
    password: Secret | None = None
    """Password of that user."""
    token: Secret | None = None
    """Token of `bearer`."""
    credentials_charset: Literal["utf-8", "iso-8859-1"] | None = None
    """Encoding of username and password. Absent: UTF-8, or what the server's challenge names."""
    format: Literal["json", "prometheus"] = "json"
    """Format of the answer. With `prometheus` (its text format) an expression is
    `metric{label="value"}`, which must select one sample, or `sum(metric{label="value"})`."""
    taken_at: Expression | None = None
    """Expression for the Unix time at which the platform measured the counts. With it their age
    counts instead of the zone's `visibility_lag_ms`: by the `Date` of the answer, which has whole
    seconds, so that up to 1 s is added; without `Date` by this machine's clock."""
    taken_at_unit: Literal["s", "ms", "us", "ns"] = "s"
    """Unit of `taken_at`; fractions are allowed."""
    units_per_call: Annotated[int, Field(ge=1, le=UNITS_MAX)] = 1
    """How many units of every number one call is: 2 where a call counts as two channels. Totals
    are rounded down, used units up."""
    channels: dict[Name, CountSettings] = Field(default_factory=dict, max_length=COUNTS_MAX)
    """The channels that are counted: table `[sources.NAME.channels.CHANNEL]`."""
    pools: dict[PoolName, CountSettings] = Field(default_factory=dict, max_length=COUNTS_MAX)
    """The named pools that are counted, such as `"trunk:carrier-a"`. A pool of it that a zone's
    policy does not have is left out for that zone."""

    @property
    def needs_zone(self) -> bool:
        """Whether the zone's `source_zone` is part of the request."""
        return ZONE in self.url or ZONE in self.body

    def select(self, policy: ZonePolicy) -> dict[str, CountSettings]:
        """Pool -> its expressions, of the channels and pools that a zone has."""
        channels = {f"channel:{k}": v for k, v in self.channels.items() if k in policy.channels}
        return channels | {k: v for k, v in self.pools.items() if has_pool(policy, k)}

    @model_validator(mode="after")
    def _check_table(self) -> Self:
        raise_problems("source", [*self._find_problems(), *self._find_wrong_expressions()])
        return self

    def _find_problems(self) -> Iterator[Problem]:
        if not self.channels and not self.pools:
            message = "at least one [channels.NAME] or [pools.NAME] is required"
            yield Problem(place=("channels",), message=message)
        if self.body and self.method == "GET":
            yield Problem(place=("body",), message='requires method = "POST"')
        for name in self.headers:
            if name.lower() in _OWN_HEADERS:
                message = "this header is set by the service"
                yield Problem(place=("headers", name), message=message)
            if name.lower() == "authorization" and self.auth != "none":
                message = f"has no effect with auth = {self.auth}"
                yield Problem(place=("headers", name), message=message)
        yield from self._find_credential_problems()

    def _find_credential_problems(self) -> Iterator[Problem]:
        wanted = _NEEDED[self.auth]
        for key in ("username", "password", "token"):
            given = getattr(self, key) is not None
            if key in wanted and not given:
                yield Problem(place=(key,), message=f"is required for {self.auth} auth")
            if given and key not in wanted:
                message = f"has no effect with auth = {self.auth}"
                yield Problem(place=(key,), message=message)
        if ":" in (self.username or ""):
            message = "must not contain a colon: Basic and Digest do not allow one"
            yield Problem(place=("username",), message=message)

    def _find_wrong_expressions(self) -> Iterator[Problem]:
        parse = compile_jmespath if self.format == "json" else parse_selector
        named = {("channels", k): v for k, v in self.channels.items()}
        named |= {("pools", k): v for k, v in self.pools.items()}
        places: dict[Location, str] = {
            (*place, key): text
            for place, counts in named.items()
            for key, text in counts.expressions().items()
        }
        if self.taken_at is not None:
            places |= {("taken_at",): self.taken_at}
        for place, text in places.items():
            try:
                parse(text)
            except ValueError as error:
                yield Problem(place=place, message=str(error))


def has_pool(policy: ZonePolicy, pool: str) -> bool:
    """Whether a zone's policy has a named pool, by its name or by its kind."""
    return pool in policy.pools or f"{pool.partition(':')[0]}:*" in policy.pools

"""A source for any platform that states its counts over HTTP: one request, one answer, expressions.

Each channel and pool is a group of its own: one total, and how many of it are unused.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr

from admission.config.sources.http_json import ZONE, CountSettings, HttpJsonSettings
from admission.domain import Snapshot, SnapshotGroup
from admission.domain.policy import ZonePolicy
from admission.errors import SourceError
from admission.sources.authentication import Credentials
from admission.sources.authentication.gate import CredentialsRefused
from admission.sources.base import ConfiguredSource, RequestNotDelivered, sanitize_line
from admission.sources.http_json.expressions import (
    Evaluate,
    Expressions,
    Yielded,
    describe_yielded,
    iterate_expressions,
)
from admission.sources.http_json.platform_clock import PlatformClock
from admission.sources.transport import (
    HttpSession,
    check_head,
    decode_body,
    exchange_within,
    read_body,
)

# Asterisk's list of 2000 channels, or the metrics of a large exporter.
ANSWER_BYTES_MAX: Final = 4 * 2**20
# A larger answer is evaluated in a thread: it would hold the event loop for milliseconds.
INLINE_CHARS_MAX: Final = 32_768
CONNECTIONS_MAX: Final = 4
ERRORS_SHOWN_MAX: Final = 3
# A clock of the platform that is ahead of this machine's by more is an error of the operator's.
AHEAD_MS_MAX: Final = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    text: str
    date: str
    sent_s: float
    received_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the expressions gave on one answer.

    Args:
        yielded: of each expression, in the order of the file.
        snapshot: None where an expression gave no count, or the counts cannot be.
        problems: why not, a line each.
    """

    yielded: tuple[Yielded, ...]
    snapshot: Snapshot | None
    problems: tuple[str, ...] = ()


class HttpJsonSource(ConfiguredSource[HttpJsonSettings]):
    """Queries one HTTP address for counts.

    Args:
        name: the X of `[sources.X]`.
        settings: the address and the expressions.

    Raises:
        ConfigError: a file of the TLS settings cannot be used.

    Example:
        source = HttpJsonSource("sbc", settings)
        snapshot = await source.query("East", policy)
        await source.close()
    """

    def __init__(self, name: str, settings: HttpJsonSettings) -> None:
        super().__init__(name, settings)
        self._expressions = Expressions(settings)
        self._clock = PlatformClock()
        credentials = Credentials(
            scheme=settings.auth,
            username=settings.username or "",
            secret=settings.password or settings.token or SecretStr(""),
            charset=settings.credentials_charset,
        )
        self._http = HttpSession(settings, connections_max=CONNECTIONS_MAX, credentials=credentials)
        self._headers = {k: one.get_secret_value() for k, one in settings.headers.items()}

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        """Query the counts of one zone (`Source.query`).

        Args:
            zone: not used; the platform's name is `policy.source_zone`.
            policy: of its `channels` and `pools`, those of the settings are counted.

        Raises:
            SourceError: no usable answer, or an expression that gave no count.
        """
        evaluation = await self.evaluate(policy)
        if evaluation.snapshot is None:
            raise self._locate(SourceError("; ".join(evaluation.problems[:ERRORS_SHOWN_MAX])))
        return evaluation.snapshot

    async def evaluate(self, policy: ZonePolicy) -> Evaluation:
        """Query once and return what every expression gave, errors included.

        Raises:
            SourceError: no answer to evaluate.
        """
        counts = self.settings.select(policy)
        try:
            if not counts:
                raise SourceError("it counts no channel and no pool of this zone")
            async with exchange_within(self.settings.timeout_ms):
                reply = await self._exchange(policy.source_zone)
                if len(reply.text) <= INLINE_CHARS_MAX:
                    return self._evaluate(counts, reply, policy)
                return await asyncio.to_thread(self._evaluate, counts, reply, policy)
        except SourceError as error:
            raise self._locate(error) from None

    def forget_refusal(self) -> None:
        """Send the credentials with the next query (`RemembersRefusals`)."""
        self._http.forget_refusal()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _exchange(self, source_zone: str | None) -> _Reply:
        settings = self.settings
        if settings.needs_zone and not source_zone:
            raise SourceError("its request contains {zone}: the zone needs a source_zone")
        zone = source_zone or ""
        url = settings.url.replace(ZONE, quote(zone, safe=""))
        body = settings.body.replace(ZONE, json.dumps(zone)[1:-1]).encode()
        sent_s = time.monotonic()
        exchange = self._http.exchange(
            settings.method, url, headers=self._build_headers(), body=body
        )
        async with exchange as response:
            if response.status < 400:  # a JSON-RPC server explains its errors in the body
                check_head(response)
            content = await read_body(response, bytes_max=ANSWER_BYTES_MAX)
            text = decode_body(content, response)
            self._check_status(response, text)
            return _Reply(
                text=text,
                date=response.headers.get("Date", ""),
                sent_s=sent_s,
                received_s=time.monotonic(),
            )

    def _build_headers(self) -> Mapping[str, str]:
        is_json = self.settings.format == "json"
        own = {"Accept": "application/json" if is_json else "text/plain;version=0.0.4"}
        if self.settings.body:
            own["Content-Type"] = "application/json"
        given = {name.lower() for name in self._headers}
        return {k: v for k, v in own.items() if k.lower() not in given} | self._headers

    def _check_status(self, response: aiohttp.ClientResponse, text: str) -> None:
        if response.status >= 300:
            words = sanitize_line(text[:4_000], secrets=self._secrets)[:100]
            said = f": {words}" if words and not words.startswith("<") else ""
            hint = "; there is no such service: check the url" if response.status == 404 else ""
            raise SourceError(f"failed with HTTP status {response.status}{said}{hint}")
        if text.lstrip()[:1] == "<":
            raise SourceError(
                f"answered with HTML or XML ({response.content_type[:60]}), not with "
                f"{self.settings.format}"
            )

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (*self._http.secrets, *(one for one in self._headers.values() if len(one) >= 8))

    def _evaluate(
        self, counts: Mapping[str, CountSettings], reply: _Reply, policy: ZonePolicy
    ) -> Evaluation:
        evaluate = self._expressions.read(reply.text)
        yielded: list[Yielded] = []
        problems: list[str] = []
        groups = []
        for pool, settings in counts.items():
            found = [
                self._expressions.evaluate_count(place, text, evaluate, self._secrets)
                for place, text in iterate_expressions(_place(pool), settings)
            ]
            yielded += found
            wrong = [describe_yielded(one) for one in found if one.error]
            problems += wrong or self._find_contradictions(found)
            if not problems:
                groups.append(self._build_group(pool, found))
        age_ms, taken_at = self._find_age(reply, evaluate, policy, yielded, problems)
        if problems:
            return Evaluation(
                yielded=tuple(yielded), snapshot=None, problems=self._explain(problems, reply)
            )
        snapshot = Snapshot(groups=tuple(groups), age_ms=age_ms, taken_at=taken_at)
        return Evaluation(yielded=tuple(yielded), snapshot=snapshot)

    def _find_contradictions(self, found: list[Yielded]) -> Iterator[str]:
        total, other = found
        if (other.number or 0) > (total.number or 0):
            yield f"{describe_yielded(other)}gave {other.shown}, more than the total {total.shown}"

    def _build_group(self, pool: str, found: list[Yielded]) -> SnapshotGroup:
        total, other = (one.number or 0 for one in found)
        units = self.settings.units_per_call
        calls = total // units
        if found[1].place.endswith(".unused"):
            unused = other // units
        else:
            unused = max(0, calls - -(-other // units))
        return SnapshotGroup(total=calls, unused={pool: min(unused, calls)})

    def _find_age(
        self,
        reply: _Reply,
        evaluate: Evaluate,
        policy: ZonePolicy,
        yielded: list[Yielded],
        problems: list[str],
    ) -> tuple[int | None, int | None]:
        """Age of the counts when the request was sent, and the platform's reading; both in ms."""
        text = self.settings.taken_at
        if text is None:
            return None, None
        found, taken_ms = self._expressions.evaluate_time_ms(text, evaluate, self._secrets)
        yielded.append(found)
        if found.error:
            problems.append(describe_yielded(found))
            return None, None
        now_ms = self._clock.read_ms(reply.date, reply.sent_s, reply.received_s)
        age_ms = now_ms - taken_ms
        if age_ms < -AHEAD_MS_MAX:
            problems.append(
                f"taken_at gave {found.shown}, {-age_ms / 1000:.0f} s ahead of the clock: check "
                "taken_at_unit, and the clocks"
            )
        elif age_ms > policy.max_age_ms:
            problems.append(
                f"the counts are {age_ms / 1000:.0f} s old (taken_at), more than max_age_ms"
            )
        return max(0, round(age_ms)), round(taken_ms)

    def _explain(self, problems: list[str], reply: _Reply) -> tuple[str, ...]:
        """Add the error that a JSON-RPC server states, which explains absent numbers."""
        if self.settings.format != "json":
            return tuple(problems)
        try:
            error = json.loads(reply.text).get("error")
        except (AttributeError, ValueError, RecursionError):
            return tuple(problems)
        words = error.get("message") if isinstance(error, dict) else error
        if not isinstance(words, str) or not words:
            return tuple(problems)
        said = sanitize_line(words, secrets=self._secrets)[:100]
        return (f"the platform says: {said}", *problems)

    def _locate(self, error: SourceError) -> SourceError:
        """The same error with the address, without secrets."""
        prefix = f"{self.settings.method} {self.settings.place}: "
        if error.detail.startswith(prefix):
            return error
        detail = prefix + sanitize_line(error.detail, secrets=self._secrets)
        if isinstance(error, CredentialsRefused):
            return CredentialsRefused(detail, date=error.date)
        kind = RequestNotDelivered if isinstance(error, RequestNotDelivered) else SourceError
        return kind(detail)


def _place(pool: str) -> str:
    """The table of a pool's expressions, as the file names it."""
    kind, _, name = pool.partition(":")
    return f"channels.{name}" if kind == "channel" else f'pools."{pool}"'

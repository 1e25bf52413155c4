"""Evaluates the expressions of an `http_json` source on one answer. Nothing here does I/O.

The answer is untrusted input. An expression gives a whole number or an error that names the
expression and what it gave: null, absence, text, a fraction or NaN is never read as 0.

Sources: JMESPath (jmespath.org/specification.html); the Prometheus text format, version 0.0.4.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

# jmespath ships no types.
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from admission.config.sources.http_json import (
    CountSettings,
    HttpJsonSettings,
    Selector,
    compile_jmespath,
    parse_selector,
)
from admission.errors import SourceError
from admission.sources.base import sanitize_line

# The ledger refuses this number and larger ones; 4294967295 is minus one in 32 bits.
COUNT_END: Final = 2**31
SHOWN_CHARS_MAX: Final = 60
SAMPLES_MAX: Final = 100_000
_UNITS_PER_MS: Final[Mapping[str, float]] = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}

# Expression -> what it gives; raises SourceError.
Evaluate: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Yielded:
    """What one expression gave.

    Args:
        place: the key, such as `channels.sip.used`.
        expression: its text.
        shown: what it gave, one line.
        number: the same as a whole number; None: it is none.
        error: why it is none; empty: it is one.
    """

    place: str
    expression: str
    shown: str
    number: int | None
    error: str = ""


class Expressions:
    """The compiled expressions of one source.

    Args:
        settings: with the expressions.

    Example:
        expressions = Expressions(settings)
        evaluate = expressions.read(body)
        counts = [expressions.count("channels.sip", one, evaluate) for one in ...]
    """

    def __init__(self, settings: HttpJsonSettings) -> None:
        self._is_json = settings.format == "json"
        self._units_per_ms = _UNITS_PER_MS[settings.taken_at_unit]
        texts = [] if settings.taken_at is None else [settings.taken_at]
        for counts in (*settings.channels.values(), *settings.pools.values()):
            texts += counts.expressions().values()
        parse = compile_jmespath if self._is_json else parse_selector
        self._parsed = {text: parse(text) for text in texts}

    def read(self, body: str, *, secrets: Collection[str] = ()) -> Evaluate:
        """Parse an answer. Returns: the function that evaluates an expression on it.

        Raises:
            SourceError: it is not of the format.
        """
        if self._is_json:
            document = _parse_json(body)
            return lambda text: _search(self._parsed[text], document)
        selectors: list[Selector] = list(self._parsed.values())
        samples = list(_parse_samples(body, {one.name for one in selectors}))
        return lambda text: _select(self._parsed[text], samples)

    def evaluate_count(
        self, place: str, text: str, evaluate: Evaluate, secrets: Collection[str]
    ) -> Yielded:
        """Evaluate one expression of a count."""
        try:
            value = evaluate(text)
        except SourceError as fault:
            return Yielded(place=place, expression=text, shown="", number=None, error=fault.detail)
        shown = _show(value, secrets)
        number = _as_count(value)
        error = "" if number is not None else f"gave {shown}, not a whole number of ports"
        return Yielded(place=place, expression=text, shown=shown, number=number, error=error)

    def evaluate_time_ms(
        self, text: str, evaluate: Evaluate, secrets: Collection[str]
    ) -> tuple[Yielded, float]:
        """Evaluate `taken_at`. Returns: what it gave, and Unix time in ms (0 after an error)."""
        value: Any = None
        error = ""
        try:
            value = evaluate(text)
        except SourceError as fault:
            error = fault.detail
        taken_ms = 0.0
        if type(value) in (int, float) and math.isfinite(value) and value > 0:
            taken_ms = value / self._units_per_ms
        elif not error:
            error = f"gave {_show(value, secrets)}, not a Unix time"
        shown = _show(value, secrets)
        number = None if error else round(taken_ms)
        return (
            Yielded(place="taken_at", expression=text, shown=shown, number=number, error=error),
            taken_ms,
        )


def describe_yielded(one: Yielded) -> str:
    """An error of an expression: its place, its text and what it gave."""
    text = (
        one.expression
        if len(one.expression) <= SHOWN_CHARS_MAX
        else (one.expression[: SHOWN_CHARS_MAX - 1] + "…")
    )
    return f"{one.place} = {text} {one.error}"


def iterate_expressions(place: str, counts: CountSettings) -> Iterator[tuple[str, str]]:
    """The key and text of each expression of one channel or pool."""
    for key, text in counts.expressions().items():
        yield f"{place}.{key}", text


def _as_count(value: Any) -> int | None:
    """JSON and Prometheus may write a whole number as 7.0."""
    if type(value) is float and math.isfinite(value) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < COUNT_END else None


def _show(value: Any, secrets: Collection[str]) -> str:
    """What an expression gave, for an operator: as JSON, cut."""
    try:
        # A part of a large value is enough, but a secret in it is recognized as a whole only.
        text = json.dumps(value, ensure_ascii=False, default=str)[:4_000]
    except (RecursionError, ValueError):
        text = "a deeply nested value"
    line = sanitize_line(text, secrets=secrets)
    return line if len(line) <= SHOWN_CHARS_MAX else line[: SHOWN_CHARS_MAX - 1] + "…"


def _parse_json(body: str) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise SourceError("the answer is JSON that is nested too deeply") from None
    except ValueError:
        raise SourceError("the answer is not JSON") from None


def _search(compiled: Any, document: Any) -> Any:
    try:
        return compiled.search(document)
    except JMESPathError as error:
        # Such as sum() of text, or to_number() of nothing.
        raise SourceError("failed: " + sanitize_line(str(error))) from None
    except (RecursionError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"failed: {type(error).__name__}") from None


def _parse_samples(body: str, names: Collection[str]) -> Iterator[Any]:
    """The samples of some metrics; other lines are not parsed, as an answer may have thousands."""
    wanted = tuple(filter(None, names))
    lines = [line for line in body.splitlines() if line.startswith(wanted)] if wanted else []
    if len(lines) > SAMPLES_MAX:
        raise SourceError(f"the answer has more than {SAMPLES_MAX} samples of these metrics")
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from family.samples
    except (ValueError, IndexError, KeyError) as error:
        text = sanitize_line(str(error))[:SHOWN_CHARS_MAX]
        raise SourceError(f"the answer is not in the Prometheus text format: {text}") from None


def _select(selector: Selector, samples: Sequence[Any]) -> Any:
    if selector.literal is not None:
        return selector.literal
    found = [one.value for one in samples if selector.matches(one.name, one.labels)]
    if not found:
        raise SourceError("selected no sample")
    if selector.is_sum:
        return math.fsum(found)
    if len(found) > 1:
        raise SourceError(f"selected {len(found)} samples: add labels, or write sum(...)")
    return found[0]

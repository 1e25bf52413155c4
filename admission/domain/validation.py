"""Validation errors for operators: the exact location, and one sentence.

This module translates the locations and messages of pydantic, and suggests a name for a misspelt
key. A message never repeats a value, because a value may be a secret.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from admission.domain.types import NAME, POOL, TEXT
from admission.errors import FieldError

Location: TypeAlias = tuple[str | int, ...]

CAMPAIGN_KEY: Final = rf"^\*$|{NAME}"
# A named pool, or every pool of a kind: `agent:*`.
POOL_PATTERN: Final = rf"^[a-z][a-z0-9_-]{{0,31}}:\*$|{POOL}"
PRIORITY: Final = r"^[0-9]$"
SHA256: Final = r"^[0-9a-fA-F]{64}$"

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_NAME_RULE: Final = "letters, digits, '.', '_', '-', at most 64, a letter or digit first"
_RULE: Final = "rule"
_SENTENCES: Final = {
    "bool_type": "must be true or false",
    "date_type": "must be a date such as 2027-01-01",
    "dict_type": "must be a table",
    "enum": "must be {expected}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "invalid_key": "keys must be text",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "model_type": "must be a table",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "tuple_type": "must be a list",
}
# Messages of patterns.
_PATTERNS: Final = {
    NAME: f"is not a name: {_NAME_RULE}",
    POOL: "is not the name of a pool, such as trunk:carrier-a",
    CAMPAIGN_KEY: f'is not a name ({_NAME_RULE}), nor "*" for every other campaign',
    POOL_PATTERN: "is not the name of a pool, such as trunk:carrier-a, nor of a kind, agent:*",
    PRIORITY: "must be a priority, 0 to 9",
    TEXT: "must have no control characters and no invisible ones",
    SHA256: "must be 64 hexadecimal digits, as `admission token new` prints them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One validation error.

    Args:
        place: keys and list positions that lead to it, from the top of the document.
        message: what is wrong with it, one sentence without a subject.
    """

    place: Location
    message: str

    def under(self, prefix: Location) -> "Problem":
        """The same problem, with its location in an outer document."""
        return Problem(place=prefix + self.place, message=self.message)

    def field_error(self) -> FieldError:
        """The problem in the form of the HTTP API."""
        return FieldError(field=format_location(self.place), message=self.message)


def format_location(place: Location) -> str:
    """A location as TOML writes it: `zones.East.campaigns."*".limit`, list positions as numbers."""
    return ".".join(_quote(step) for step in place)


def _quote(step: str | int) -> str:
    text = str(step)
    return text if _BARE_KEY.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def suggest_name(word: str, known: Iterable[str]) -> str:
    """`; did you mean limit?` for a misspelt word, else nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def list_problems(
    model: type[BaseModel],
    error: ValidationError,
    *,
    rules_only: bool = False,
    most: int | None = None,
) -> tuple[Problem, ...]:
    """Every problem of one validation, or the first of them.

    Args:
        model: the model that was validated; its fields are what a misspelt key may have meant.
        error: what pydantic raised.
        rules_only: leave out all but what `refuse` said.
        most: number of problems to list; None: all. To suggest a name for a misspelt key takes
            time, and a document from a client may have very many.
    """
    found = error.errors(include_url=False, include_input=False)[:most]
    return tuple(_problem(model, one) for one in found if not rules_only or one["type"] == _RULE)


def raise_problems(title: str, problems: Iterable[Problem]) -> None:
    """Raise the problems that a validator found, each at its own location.

    Raises:
        ValidationError: when there is any problem.
    """
    found = [
        InitErrorDetails(
            type=PydanticCustomError(_RULE, "{message}", {"message": problem.message}),
            loc=problem.place,
            input=None,
        )
        for problem in problems
    ]
    if found:
        raise ValidationError.from_exception_data(title, found)


def _problem(model: type[BaseModel], details: ErrorDetails) -> Problem:
    place: Location = details["loc"]
    if len(place) > 1 and place[-1] == "[key]":
        place = place[:-1]
    return Problem(place=place, message=_sentence(model, place, details))


def _sentence(model: type[BaseModel], place: Location, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _describe_unknown_key(model, place)
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"does not match {context['pattern']}")
    if kind in _SENTENCES:
        return _SENTENCES[kind].format_map(context)
    return details["msg"][:1].lower() + details["msg"][1:]


def _describe_unknown_key(model: type[BaseModel], place: Location) -> str:
    """The key's present name where it was renamed, else the most similar key of its table."""
    key, tables = str(place[-1]), _models_at(model, place[:-1])
    for table in tables:
        if key in (renamed := getattr(table, "renamed_keys", {})):
            return f"is called {renamed[key]} now"
    return "unknown key" + suggest_name(key, [name for one in tables for name, _ in _fields(one)])


def _models_at(model: type[BaseModel], place: Location) -> list[type[BaseModel]]:
    """The models that read the table at a place."""
    here: Any = model
    for step in place:
        fields = {key: info.annotation for m in _models(here) for key, info in _fields(m)}
        # Below a dict or list the step is a name or a position: the values' own models decide.
        here = fields.get(str(step), here)
    return list(_models(here))


def _fields(model: type[BaseModel]) -> Iterable[tuple[str, Any]]:
    return model.model_fields.items()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `dict[str, Campaign] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)

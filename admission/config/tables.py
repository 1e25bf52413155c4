"""Validates the tables of a decoded TOML document and collects every problem.

Each table is validated separately, so that an invalid table hides no error in another.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from admission.config.base import Section
from admission.config.checks import (
    find_default_zone_problems,
    find_exposure_problems,
    find_token_problems,
    find_unused_pools,
    find_zone_problems,
)
from admission.config.settings import (
    AuthSettings,
    LimitSettings,
    LogSettings,
    RedisSettings,
    ServerSettings,
    Settings,
    TokenSettings,
)
from admission.config.sources.registry import BUILT_IN_SOURCES, SOURCE_TYPES
from admission.domain import Name
from admission.domain.policy import ZonePolicy
from admission.domain.validation import Location, Problem, list_problems, suggest_name

TABLES_MAX: Final = 1_000
TOKENS_MAX: Final = 10_000
SERVICE_TABLES: Final[dict[str, type[Section]]] = {
    "server": ServerSettings,
    "redis": RedisSettings,
    "log": LogSettings,
    "limits": LimitSettings,
}
_TOP_KEYS: Final = (*SERVICE_TABLES, "auth", "sources", "zones")
_NAME: Final = TypeAdapter(Name)
_Model = TypeVar("_Model", bound=BaseModel)
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class TableReader:
    """Validates the tables of one document.

    Args:
        document: decoded from TOML, with the environment's overrides.
        environ: has the secrets of `{ env = "NAME" }`.

    Attributes:
        problems: every problem so far, in the order of detection.

    Example:
        reader = TableReader(tomllib.loads(text), os.environ)
        settings = reader.settings()  # None: see reader.problems
    """

    def __init__(self, document: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self.problems: list[Problem] = []

    def read_settings(self) -> Settings | None:
        """Return the settings, None when there are problems."""
        self._check_tables()
        service = {
            key: self._read_table(model, (key,), self._document.get(key, {}))
            for key, model in SERVICE_TABLES.items()
        }
        tokens = self._read_tokens()
        sources = self._read_sources()
        zones = self._read_zones()
        self._cross_check(service, tokens, zones)
        if self.problems:
            return None
        auth = AuthSettings(tokens=tuple(tokens.values()))
        found = Settings.model_validate(
            {**service, "auth": auth, "sources": sources, "zones": zones}
        )
        return _set_default_zone(found)

    def read_policies(self) -> dict[str, ZonePolicy] | None:
        """Return the policies of the zones, None when they have problems. Needs no secrets."""
        zones = self._read_zones()
        self._check_zones(zones)
        return None if self.problems else zones

    def _check_tables(self) -> None:
        for key, table in self._document.items():
            if key not in _TOP_KEYS:
                self._add((key,), "unknown table" + suggest_name(key, _TOP_KEYS))
            elif key not in SERVICE_TABLES and not isinstance(table, dict):
                self._add((key,), "must be a table")

    def _read_tokens(self) -> dict[int, TokenSettings]:
        auth = self._get_dict("auth")
        for key in auth:
            if key != "tokens":
                self._add(("auth", key), "unknown key" + suggest_name(key, ["tokens"]))
        listed = auth.get("tokens", [])
        if not isinstance(listed, list) or len(listed) > TOKENS_MAX:
            self._add(
                ("auth", "tokens"), f"must be a list, [[auth.tokens]], of at most {TOKENS_MAX}"
            )
            return {}
        found = {
            i: self._read_table(TokenSettings, ("auth", "tokens", i), token)
            for i, token in enumerate(listed)
        }
        return _drop_invalid(found)

    def _read_sources(self) -> dict[str, BaseModel]:
        return _drop_invalid(
            {name: self._read_source(name, table) for name, table in self._iter_named("sources")}
        )

    def _read_source(self, name: str, table: Any) -> BaseModel | None:
        place = ("sources", name)
        if name in BUILT_IN_SOURCES:
            self._add(
                place, f"must have another name: {name} is reserved for zones without a platform"
            )
        kind = table.get("type") if isinstance(table, dict) else ""
        if not isinstance(kind, str) or kind not in SOURCE_TYPES:
            hint = suggest_name(str(kind), SOURCE_TYPES)
            self._add((*place, "type"), f"must be one of {', '.join(SOURCE_TYPES)}{hint}")
            return None
        return self._read_table(SOURCE_TYPES[kind], place, table)

    def _read_zones(self) -> dict[str, ZonePolicy]:
        if not self._document.get("zones"):
            self._add(("zones",), "at least one [zones.NAME] is required")
        return _drop_invalid(
            {
                name: self._read_table(ZonePolicy, ("zones", name), table)
                for name, table in self._iter_named("zones")
            }
        )

    def _cross_check(
        self,
        service: Mapping[str, BaseModel | None],
        tokens: dict[int, TokenSettings],
        zones: dict[str, ZonePolicy],
    ) -> None:
        # A name counts as configured even where its table is invalid: one error, one message.
        names, server, redis = self._get_dict("zones"), service["server"], service["redis"]
        self._check_zones(zones)
        self._extend((), find_token_problems(tokens, names))
        if isinstance(server, ServerSettings):
            self._extend((), find_default_zone_problems(server, names))
            if isinstance(redis, RedisSettings):
                has_tokens = bool(self._get_dict("auth").get("tokens"))
                self._extend((), find_exposure_problems(server, redis, has_tokens))

    def _check_zones(self, zones: dict[str, ZonePolicy]) -> None:
        sources = self._get_dict("sources")
        for name, zone in zones.items():
            self._extend(("zones", name), find_zone_problems(zone, sources))
        self._extend((), find_unused_pools(sources, zones.values()))

    def _iter_named(self, key: str) -> Iterator[tuple[str, Any]]:
        """The entries of a table of tables, after a check of their names and their number."""
        tables = self._get_dict(key)
        if len(tables) > TABLES_MAX:
            self._add((key,), f"must have at most {TABLES_MAX} entries")
            return
        for name, table in tables.items():
            try:
                _NAME.validate_python(name)
            except ValidationError as error:
                self._extend((key, name), list_problems(BaseModel, error))
            yield name, table

    def _read_table(self, model: type[_Model], place: Location, table: Any) -> _Model | None:
        """Validate one table; None, and its problems, when it is invalid.

        Pydantic checks rules between keys only where every key is valid, and returns no partial
        result. After an error the rules are therefore checked on the valid rest of the table, so
        that an operator sees all problems at once. The rest itself is discarded.
        """
        context = {"environ": self._environ}
        try:
            return model.model_validate(table, context=context)
        except ValidationError as error:
            problems = list_problems(model, error)
        self._extend(place, problems)
        rest = deepcopy(table)
        for problem in problems:
            _remove_at(rest, problem.place)
        try:
            return model.model_validate(rest, context=context)
        except ValidationError as error:
            rules = list_problems(model, error, rules_only=True)
            self._extend(place, [problem for problem in rules if problem not in problems])
            return None

    def _get_dict(self, key: str) -> dict[str, Any]:
        found = self._document.get(key)
        return found if isinstance(found, dict) else {}

    def _add(self, place: Location, message: str) -> None:
        self.problems.append(Problem(place=place, message=message))

    def _extend(self, prefix: Location, problems: Iterable[Problem]) -> None:
        self.problems += [problem.under(prefix) for problem in problems]


def _remove_at(table: Any, place: Location) -> None:
    """Remove the value at a place, together with a list that contains it."""
    for i, step in enumerate(place):
        if not isinstance(table, dict):
            return
        inside = table.get(str(step))
        if i + 1 == len(place) or not isinstance(inside, dict):
            table.pop(str(step), None)
            return
        table = inside


def _drop_invalid(tables: Mapping[_Key, _Value | None]) -> dict[_Key, _Value]:
    return {key: table for key, table in tables.items() if table is not None}


def _set_default_zone(settings: Settings) -> Settings:
    first = settings.server.default_zone or next(iter(settings.zones))
    server = settings.server.model_copy(update={"default_zone": first})
    return settings.model_copy(update={"server": server})

"""Rules between the tables of the configuration; each function yields the violations of one."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from admission.config.settings import RedisSettings, ServerSettings, TokenSettings, is_loopback
from admission.config.sources.http_json import ZONE, has_pool
from admission.config.sources.huawei import CC_ID_MAX
from admission.config.sources.registry import BUILT_IN_SOURCES, list_counted_channels
from admission.domain.policy import ZonePolicy
from admission.domain.validation import Problem, suggest_name


def find_zone_problems(zone: ZonePolicy, sources: Mapping[str, Any]) -> Iterator[Problem]:
    """Find references of a zone's policy that the configured sources cannot serve.

    Args:
        zone: a valid policy, from the file or from a `PUT`.
        sources: name -> the settings of a configured source, or its table in a file.
    """
    yield from _find_unknown_sources(zone, sources)
    tables = [sources.get(name) for name in zone.source_names]
    kinds = [_get_key(table, "type") for table in tables]
    if "huawei_cms" in kinds:
        yield from _check_cc_id(zone.source_zone)
    if not zone.source_zone and any(map(_needs_zone, tables)):
        message = "is required: the request of its source contains {zone}"
        yield Problem(place=("source_zone",), message=message)
    counted = [list_counted_channels(table) for table in tables]
    # Pushed snapshots may count any channel; a static zone needs none.
    if None not in counted:
        channels = [channel for one in counted for channel in one or ()]
        yield from _find_uncounted_channels(zone, channels)


def find_unused_pools(
    sources: Mapping[str, Any], zones: Collection[ZonePolicy]
) -> Iterator[Problem]:
    """Find pools that a source counts and no zone of it has: a misspelt name, mostly.

    Args:
        sources: name -> its table in the file.
        zones: the valid policies.
    """
    for name, table in sources.items():
        pools = _get_key(table, "pools") if _get_key(table, "type") == "http_json" else None
        users = [zone for zone in zones if name in zone.source_names]
        for pool in pools if isinstance(pools, dict) and users else ():
            if not any(has_pool(zone, str(pool)) for zone in users):
                hint = suggest_name(str(pool), [one for zone in users for one in zone.pools])
                message = f"no zone of this source has this pool in its policy{hint}"
                yield Problem(place=("sources", name, "pools", str(pool)), message=message)


def _get_key(table: Any, key: str) -> Any:
    return table.get(key) if isinstance(table, dict) else getattr(table, key, None)


def _needs_zone(table: Any) -> bool:
    if _get_key(table, "type") != "http_json":
        return False
    return any(ZONE in str(_get_key(table, key) or "") for key in ("url", "body"))


def _find_unknown_sources(zone: ZonePolicy, known: Collection[str]) -> Iterator[Problem]:
    for i, name in enumerate(zone.source_names):
        if name not in known and name not in BUILT_IN_SOURCES:
            words = [*known, *BUILT_IN_SOURCES]
            message = f"{name} is not a configured source, push or static"
            place = ("source",) if zone.source is not None else ("sources", i)
            yield Problem(place=place, message=message + suggest_name(name, words))


def _check_cc_id(source_zone: str | None) -> Iterator[Problem]:
    digits = source_zone or ""
    is_id = digits.isascii() and digits.isdecimal() and len(digits) <= 5
    if not is_id or not 1 <= int(digits) <= CC_ID_MAX:
        message = f"must be the call centre's ccId, 1 to {CC_ID_MAX}, for a huawei_cms source"
        yield Problem(place=("source_zone",), message=message)


def _find_uncounted_channels(zone: ZonePolicy, counted: Collection[str]) -> Iterator[Problem]:
    for i, channel in enumerate(zone.channels):
        if channel not in counted:
            gives = f"only {', '.join(counted)}" if counted else "no channel"
            message = f"{channel} would never have a snapshot: this zone's sources count {gives}"
            yield Problem(place=("channels", i), message=message)


def find_default_zone_problems(server: ServerSettings, zones: Collection[str]) -> Iterator[Problem]:
    """Find a default zone that is not configured."""
    if server.default_zone and server.default_zone not in zones:
        hint = suggest_name(server.default_zone, zones)
        message = f"{server.default_zone} is not a configured zone{hint}"
        yield Problem(place=("server", "default_zone"), message=message)


def find_exposure_problems(
    server: ServerSettings, redis: RedisSettings, has_tokens: bool
) -> Iterator[Problem]:
    """Find a service beyond loopback without an explicit decision on Redis and on tokens."""
    if is_loopback(server.host):
        return
    if not redis.url and not redis.embedded:
        message = (
            f"must be set explicitly on {server.host}, which is not a loopback address: embedded = "
            "true serves this one machine only; a url shares the ledger"
        )
        yield Problem(place=("redis", "embedded"), message=message)
    if not has_tokens and not server.allow_anonymous:
        message = (
            f"{server.host} is not a loopback address and no [[auth.tokens]] are configured: "
            "add tokens, or set allow_anonymous = true"
        )
        yield Problem(place=("server", "host"), message=message)


def find_token_problems(
    tokens: Mapping[int, TokenSettings], zones: Collection[str]
) -> Iterator[Problem]:
    """Find tokens with the name or digest of another, and zones that are not configured.

    Args:
        tokens: valid ones, by their position in the file.
        zones: names of the configured zones.
    """
    for key, word in (("name", "name"), ("sha256", "digest")):
        values = ((i, getattr(token, key)) for i, token in tokens.items())
        for i in _find_repeated(values):
            message = f"the {word} is that of an earlier token"
            yield Problem(place=("auth", "tokens", i, key), message=message)
    for i, token in tokens.items():
        for at, zone in enumerate(token.zones or ()):
            if zone not in zones:
                message = f"{zone} is not a configured zone{suggest_name(zone, zones)}"
                yield Problem(place=("auth", "tokens", i, "zones", at), message=message)


def _find_repeated(values: Iterable[tuple[int, str]]) -> Iterator[int]:
    seen: set[str] = set()
    for i, value in values:
        if value in seen:
            yield i
        seen.add(value)

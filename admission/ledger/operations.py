"""Operations of the script whose fields come from values of the house (lua/README.md)."""

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

from admission.domain.snapshots import Snapshot
from admission.ledger.group_commit import UNITS_MAX
from admission.ledger.policy_cache import StoredPolicy

SECRET_BYTES: Final = 32
RESTORED_BY: Final = "a replica, after a loss"  # in the audit


def build_policy(one: StoredPolicy, mode: str) -> dict[str, Any]:
    """`policy`: store this one."""
    return {
        "op": "policy",
        "mode": mode,
        "version": one.version or None,
        "digest": one.digest,
        "fields": one.fields,
        "source": one.source,
        "offer": make_secret(),
    }


def make_secret() -> str:
    """What a zone without a secret may have."""
    return secrets.token_urlsafe(SECRET_BYTES)


def build_restore(remembered: StoredPolicy) -> dict[str, Any]:
    """`policy` in the mode `restore`: all that Redis lost with it."""
    return build_policy(remembered, "restore") | {
        "paused": json.dumps(dict(remembered.paused)),
        "applied": list(remembered.applied) or None,
        "secret": remembered.secret or None,
        "by": RESTORED_BY,
    }


def build_groups(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The groups of an `ingest`."""
    return [{"total": group.total, "unused": group.unused} for group in snapshot.groups]


def split_by_units(asks: Sequence[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Asks in order, as many together as one call takes, each part with its units."""
    part: list[dict[str, Any]] = []
    units = 0
    for ask in asks:
        if part and units + ask["count"] > UNITS_MAX:
            yield part, units
            part, units = [], 0
        part.append(ask)
        units += ask["count"]
    if part:
        yield part, units


def drop_nulls(op: dict[str, Any]) -> dict[str, Any]:
    """cjson.null is true in Lua: what is not given must not be sent."""
    return {
        name: drop_nulls(value) if isinstance(value, dict) else value
        for name, value in op.items()
        if value is not None
    }

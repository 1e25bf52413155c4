"""Operations of the script that are built from values of the domain (lua/README.md)."""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from admission.domain import Snapshot
from admission.ledger.group_commit import SHARED_UNITS_MAX
from admission.ledger.policy_cache import StoredPolicy

SECRET_BYTES: Final = 32
INGEST_GROUPS_MAX: Final = 200  # some 5 ms of Redis
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
    """A random secret, for a zone that has none."""
    return secrets.token_urlsafe(SECRET_BYTES)


def build_restore(cached: StoredPolicy) -> dict[str, Any]:
    """`policy` in the mode `restore`, with everything that Redis lost with the policy."""
    return build_policy(cached, "restore") | {
        "paused": json.dumps(dict(cached.paused)),
        "applied": list(cached.applied) or None,
        "secret": cached.secret or None,
        "former_secrets": [
            {"secret": secret, "until": until} for secret, until in cached.former_secrets
        ]
        or None,
        "by": RESTORED_BY,
    }


def build_groups(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The groups of an `ingest`."""
    return [{"total": group.total, "unused": group.unused} for group in snapshot.groups]


def split_groups(snapshot: Snapshot) -> list[Snapshot]:
    """A snapshot in parts of few groups: each is a call, and other calls of the zone run between.

    Every group is accepted or refused by itself, so that the parts may be separate.
    """
    starts = range(0, max(1, len(snapshot.groups)), INGEST_GROUPS_MAX)
    return [
        replace(
            snapshot,
            groups=snapshot.groups[start : start + INGEST_GROUPS_MAX],
            absent=() if start else snapshot.absent,
        )
        for start in starts
    ]


def split_by_units(ops: Sequence[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Operations in order, in parts of SHARED_UNITS_MAX units at most, each with its units.

    An admission has `count` units, a report one.
    """
    part: list[dict[str, Any]] = []
    units = 0
    for op in ops:
        count = op.get("count", 1)
        if part and units + count > SHARED_UNITS_MAX:
            yield part, units
            part, units = [], 0
        part.append(op)
        units += count
    if part:
        yield part, units


def drop_nulls(op: dict[str, Any]) -> dict[str, Any]:
    """Without fields that are None: cjson.null is true in Lua."""
    return {
        name: drop_nulls(value) if isinstance(value, dict) else value
        for name, value in op.items()
        if value is not None
    }

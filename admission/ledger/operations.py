"""Operations of the script whose fields come from values of the house (lua/README.md)."""

import json
from typing import Any, Final

from admission.ledger.memory import StoredPolicy
from admission.model import Snapshot

RESTORED_BY: Final = "a replica, after a loss"  # in the audit


def policy(one: StoredPolicy, mode: str) -> dict[str, Any]:
    """`policy`: store this one."""
    return {
        "op": "policy",
        "mode": mode,
        "version": one.version or None,
        "digest": one.digest,
        "fields": one.fields,
        "source": one.source,
    }


def restore(remembered: StoredPolicy) -> dict[str, Any]:
    """`policy` in the mode `restore`: all that Redis lost with it."""
    return policy(remembered, "restore") | {
        "paused": json.dumps(dict(remembered.paused)),
        "applied": list(remembered.applied) or None,
        "secret": remembered.secret or None,
        "by": RESTORED_BY,
    }


def groups(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The groups of an `ingest`."""
    return [{"total": group.total, "unused": group.unused} for group in snapshot.groups]

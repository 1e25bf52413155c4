"""The keys of a zone, built here and nowhere else. lua/prelude.lua lists their contents."""

from functools import lru_cache
from typing import Final

_NAMES: Final = (
    "zone", "res", "req", "due", "pools", "policy", "stats", "shares", "hungry:", "pend:",
    "queue", "waiters", "arrived", "audit", "aside", "learn:", "recount",
)  # fmt: skip


@lru_cache(maxsize=4096)
def zone_keys(prefix: str, zone: str) -> tuple[str, ...]:
    """The keys of one zone in the order of the script's KEYS.

    All share the hash tag `{zone}`, so that in a Redis Cluster they are in one slot.

    Args:
        prefix: `redis.key_prefix` of the configuration.
        zone: the zone's name.
    """
    return tuple(f"{prefix}:{{{zone}}}:{name}" for name in _NAMES)


def guids(prefix: str, zone: str) -> str:
    """The key of the agents' sessions that were handed over for a zone (agent_sessions.py)."""
    return f"{prefix}:{{{zone}}}:guids"


def notification_channel(prefix: str) -> str:
    """The Pub/Sub channel on which the script notifies replicas, such as `poll East`."""
    return f"{prefix}:bell"

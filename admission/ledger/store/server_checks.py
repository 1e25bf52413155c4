"""Checks of a Redis at start: version, role, eviction policy, the rights of its user."""

import logging
import re
from typing import Any, Final

from redis import exceptions
from redis.asyncio import Redis

from admission.errors import ConfigError
from admission.ledger.store.embedded.binary import VERSION_MIN
from admission.ledger.store.errors import root

_REFUSALS = (exceptions.AuthenticationError, exceptions.NoPermissionError)

# The oldest patch of each line whose Lua engine has no known memory fault (CVE-2025-49844 and three
# more of October 2025). Newer lines began with the repair; 7.0 gets it from distributions only,
# which keep the version number.
_REPAIRED: Final = {
    "redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}

# What the check publishes: listeners pass over a verb that they do not know.
PROBE_TEXT: Final = "check channel"
REPLY_S: Final = 5.0

log = logging.getLogger(__name__)


async def check_server(client: Redis, *, in_cluster: bool = False) -> None:
    """Refuse a server that the ledger cannot rely on; warn of one that may lose writes.

    Args:
        in_cluster: the URL names a cluster.

    Raises:
        ConfigError: older than 6.2, a replica, not `in_cluster` as configured, an evicting
            `maxmemory-policy`.
        redis.exceptions.RedisError: it did not answer, or refuses the credentials; see
            `is_refusal`.
    """
    info: dict[str, Any] = await client.info()
    policy = await _maxmemory_policy(client, info)
    _check_version(info)
    _check_role(info, in_cluster)
    _check_policy(policy)
    _warn_of_split_brain(info)
    _warn_of_old_server(info)


async def check_channel(client: Redis, channel: str) -> None:
    """Publish and subscribe once: 6.2 has no ACL DRYRUN, and few users may run ACL.

    Args:
        channel: on which replicas notify each other.

    Raises:
        ConfigError: the user lacks the right.
    """
    try:
        await client.publish(channel, PROBE_TEXT)
        async with client.pubsub() as pubsub:
            await pubsub.subscribe(channel)
            await pubsub.get_message(timeout=REPLY_S)
    except exceptions.NoPermissionError as exc:
        missing = f"&{channel}" if "channel" in str(exc) else "+publish +subscribe +unsubscribe"
        raise ConfigError(
            f"redis: the user may not use the channel {channel}, on which replicas notify each "
            f"other. Grant it: ACL SETUSER <user> {missing} ({exc})"
        ) from exc


def is_refusal(exc: BaseException) -> bool:
    """Whether the server refuses these credentials, or its user lacks a permission."""
    return isinstance(root(exc), _REFUSALS)


async def _maxmemory_policy(client: Redis, info: dict[str, Any]) -> str:
    try:
        answer = await client.config_get("maxmemory-policy")
        return str(answer["maxmemory-policy"])
    except (exceptions.ResponseError, KeyError):  # CONFIG is denied by ACL, or renamed away
        return str(info.get("maxmemory_policy", ""))


def _check_version(info: dict[str, Any]) -> None:
    version = str(info.get("redis_version", "unknown"))
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < VERSION_MIN:
        least = ".".join(map(str, VERSION_MIN))
        raise ConfigError(f"redis: the server is version {version}; {least} or newer is needed")


def _check_role(info: dict[str, Any], in_cluster: bool) -> None:
    mode = info.get("server_mode") or info.get("redis_mode")  # of Valkey, of Redis
    is_node = mode == "cluster"
    if in_cluster and not is_node:
        raise ConfigError("redis: the server is not a node of a cluster; use redis:// for it")
    if is_node and not in_cluster:
        raise ConfigError("redis: the server is a node of a cluster; use redis+cluster:// for it")
    if info.get("role") != "master":
        raise ConfigError("redis: the server is a replica; redis.url must name the primary")


def _check_policy(policy: str) -> None:
    if not policy:
        log.warning("redis: maxmemory-policy is not readable; it must be noeviction")
    elif policy != "noeviction":
        raise ConfigError(
            f"redis: maxmemory-policy is {policy}, which forgets reservations of live calls; "
            "set it to noeviction"
        )


def _warn_of_split_brain(info: dict[str, Any]) -> None:
    # INFO has this field only while min-replicas-to-write is in force
    if info.get("connected_slaves") and "min_slaves_good_slaves" not in info:
        log.warning(
            "redis: the server has replicas but min-replicas-to-write is 0: in a split brain "
            "two primaries could grant the same ports; set min-replicas-to-write 1"
        )


def _warn_of_old_server(info: dict[str, Any]) -> None:
    name = str(info.get("server_name", "redis"))
    version = str(info.get(f"{name}_version", info["redis_version"]))
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        return
    major, minor, patch = map(int, found.groups())
    if patch < (least := _REPAIRED.get(name, {}).get((major, minor), 0)):
        log.warning(
            "redis: the Lua engine of %s %s has known memory faults, through which a user of Redis "
            "may run code: install %d.%d.%d or newer",
            *(name.capitalize(), version, major, minor, least),
        )

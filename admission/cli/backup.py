"""`admission backup`, `admission restore`: live policies and pauses of all zones, as a JSON file.

Reservations are not part of it: they heal by recovery, and a restored one would be wrong. Temporary
limits are not either: they lapse by themselves, and their pacing engine sets them again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from admission import __version__
from admission.cli.apply import Plan, compare_policies, write
from admission.cli.common import Api, describe_refusal, zone_path
from admission.domain.policy import ZonePolicy, parse_policy
from admission.errors import CallerError, ConfigError, Invalid

FORMAT: Final = 1
FILE_BYTES_MAX: Final = 64 * 1024 * 1024  # 1000 zones with hundreds of campaigns each


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """Zone -> its policy, and the pools (or `zone`) that were paused."""

    policies: Mapping[str, ZonePolicy]
    paused: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What a backup changes in one zone, and what was changed.

    Args:
        plan: of the policy.
        to_pause: paused in the backup and not now; after writing, those that are paused now.
        stays_paused: paused now and not in the backup: left alone.
    """

    plan: Plan
    to_pause: tuple[str, ...] = ()
    stays_paused: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether there is anything to write."""
        return self.plan.differs or bool(self.to_pause)

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values."""
        pauses = {"to_pause": list(self.to_pause), "stays_paused": list(self.stays_paused)}
        return self.plan.fields() | pauses


async def read_service(api: Api) -> dict[str, Any]:
    """Read what a backup keeps from a service.

    Raises: Unavailable, CallerError: the service did not give it; there is no part of a backup.
    """
    overview = await api.request("GET", "/v1/zones")
    zones = {}
    for zone in (one["zone"] for one in overview["zones"]):
        live = await api.request("GET", zone_path(zone, "policy"))
        status = await api.request("GET", zone_path(zone))
        zones[zone] = {"policy": live["policy"], "paused": sorted(status["paused"])}
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, "made_at": made_at, "version": __version__, "zones": zones}


def save(document: Mapping[str, Any], path: Path) -> None:
    """Write a backup, whole or not at all. Raises: ConfigError: the file cannot be written."""
    text = json.dumps(document, indent=2) + "\n"
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as exc:
        scratch.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from exc


def load(path: Path) -> Backup:
    """Read a backup and check all of it. Raises: ConfigError: it is none, or a policy is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} is longer than {FILE_BYTES_MAX} bytes")
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ConfigError(
                f"{path} has format {document['format']}; this program reads {FORMAT}"
            )
        policies = {zone: parse_policy(one["policy"]) for zone, one in document["zones"].items()}
        paused = {zone: tuple(map(str, one["paused"])) for zone, one in document["zones"].items()}
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, Invalid) as exc:
        raise ConfigError(f"{path} is no backup of this program: {exc!r}"[:500]) from exc
    return Backup(policies=policies, paused=paused)


async def compare(api: Api, backup: Backup) -> list[Restoration]:
    """Compare a backup with a service. Raises: Unavailable: the service does not answer."""
    plans = await compare_policies(api, backup.policies)
    return [await _compare_pauses(api, plan, set(backup.paused[plan.zone])) for plan in plans]


async def restore(api: Api, restorations: list[Restoration]) -> list[Restoration]:
    """Write what differs. A zone that changed meanwhile is left alone.

    Pauses come first: a zone that was paused grants nothing under its restored policy.
    """
    return [await _restore(api, one) for one in restorations]


async def _compare_pauses(api: Api, plan: Plan, wanted: set[str]) -> Restoration:
    if plan.problem:
        return Restoration(plan=plan)
    paused = set((await api.request("GET", zone_path(plan.zone)))["paused"])
    return Restoration(
        plan=plan,
        to_pause=tuple(sorted(wanted - paused)),
        stays_paused=tuple(sorted(paused - wanted)),
    )


async def _restore(api: Api, one: Restoration) -> Restoration:
    zone = one.plan.zone
    try:
        for pool in one.to_pause:
            parts = ("pause",) if pool == "zone" else ("pools", pool, "pause")
            await api.request("POST", zone_path(zone, *parts))
        # A pause makes another version of the policy: compare again, to write over nothing unseen.
        (plan,) = await compare_policies(api, {zone: parse_policy(one.plan.policy)})
        if plan.found != one.plan.found:
            return replace(
                one, plan=replace(plan, problem="it was changed meanwhile; compare again")
            )
        (plan,) = await write(api, [plan])
    except CallerError as fault:
        plan = replace(one.plan, problem=describe_refusal(fault))
    return replace(one, plan=plan)


def describe(one: Restoration) -> str:
    """Return what differs, or was written, as text."""
    lines = [f"{one.plan.zone}: {pool} is paused in the backup" for pool in one.to_pause]
    lines += [f"{one.plan.zone}: {pool} stays paused" for pool in one.stays_paused]
    return "\n".join(lines)

"""`admission apply`: compare the policies of a file with the live ones, and write them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from admission.cli.common import Api, describe_refusal, zone_path
from admission.config.load import load_policies
from admission.domain.policy import Difference, ZonePolicy, differences, digest, policy_json
from admission.errors import CallerError, PreconditionFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The comparison of one zone, and what was written.

    Args:
        version: of the live policy that was compared; after writing, of the new one.
        policy: the policy of the file, as it is sent.
        found: the settings that differ.
        differs: whether the file and the live policy differ.
        written: whether the policy of the file was made live.
        problem: why the zone was not compared or not written; empty if there was no problem.

    Example:
        `Plan(zone="East", version=3, policy={}).outcome()` is "East: version 3 is live".
    """

    zone: str
    version: int = 0
    policy: Any
    found: tuple[Difference, ...] = ()
    differs: bool = False
    written: bool = False
    problem: str = ""

    def outcome(self) -> str:
        """Return the result of writing as text."""
        if self.problem:
            return f"{self.zone}: not written: {self.problem}"
        return f"{self.zone}: version {self.version} is live"

    def fields(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "zone": self.zone,
            "version": self.version,
            "differs": self.differs,
            "differences": [one.fields() for one in self.found],
            "written": self.written,
            "problem": self.problem or None,
        }


async def compare(api: Api, path: Path) -> list[Plan]:
    """Compare the zones of a file with the live policies of a service.

    Raises:
        InvalidSettings: the file is invalid; no request was sent.
        Unavailable: the service does not answer.
    """
    return await compare_policies(api, load_policies(path))


async def compare_policies(api: Api, policies: Mapping[str, ZonePolicy]) -> list[Plan]:
    """Compare policies with the live ones of a service. Raises: Unavailable."""
    return [await _compare(api, *one) for one in policies.items()]


async def write(api: Api, plans: Iterable[Plan]) -> list[Plan]:
    """Write the policies that differ; a zone that changed meanwhile is left alone."""
    return [await _write(api, plan) for plan in plans]


def describe(plans: Iterable[Plan]) -> str:
    """Return every zone and its differences as text."""
    return "\n".join(line for plan in plans for line in _describe(plan))


async def _compare(api: Api, zone: str, policy: ZonePolicy) -> Plan:
    wanted = json.loads(policy_json(policy))
    try:
        live = await api.request("GET", zone_path(zone, "policy"))
    except CallerError as fault:
        return Plan(zone=zone, policy=wanted, problem=describe_refusal(fault))
    return Plan(
        zone=zone,
        version=live["version"],
        policy=wanted,
        found=tuple(differences(live["policy"], wanted)),
        differs=live["digest"] != digest(policy),
    )


async def _write(api: Api, plan: Plan) -> Plan:
    if plan.problem or not plan.differs:
        return plan
    headers = {"If-Match": f'"{plan.version}"'}
    path = zone_path(plan.zone, "policy")
    try:
        live = await api.request("PUT", path, plan.policy, headers=headers)
    except PreconditionFailed as fault:
        changed = "it was changed meanwhile; compare again. "
        return replace(plan, problem=changed + fault.detail)
    except CallerError as fault:
        return replace(plan, problem=describe_refusal(fault))
    return replace(plan, version=live["version"], written=True)


def _describe(plan: Plan) -> list[str]:
    if plan.problem:
        return [f"{plan.zone}: {plan.problem}"]
    if not plan.differs:
        return [f"{plan.zone}: the file is live (version {plan.version})"]
    head = f"{plan.zone}: the file differs from the live version {plan.version}"
    return [head, *(f"  {one.line()}" for one in plan.found)]

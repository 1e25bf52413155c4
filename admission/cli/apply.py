"""`admission apply`: a file's policies against the live ones, zone by zone."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from admission.cli.api_client import Api, Refused, path_of
from admission.config.load import load_policies
from admission.domain.policy.diff import Difference, differences
from admission.domain.policy.document import digest, policy_json
from admission.domain.policy.zone import ZonePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying means for one zone.

    Args:
        version: of the live policy that it was compared with, then of the one that was written.
        policy: the file's, as it is sent.
        found: the settings that differ.
        differs: whether the file says something else than the live policy.
        written: it was made live.
        problem: why not; empty: nothing went wrong.
    """

    zone: str
    version: int = 0
    policy: Any
    found: tuple[Difference, ...] = ()
    differs: bool = False
    written: bool = False
    problem: str = ""

    def outcome(self) -> str:
        """What became of it, in a line or more."""
        if self.problem:
            return f"{self.zone}: not written: {self.problem}"
        return f"{self.zone}: version {self.version} is live"

    def fields(self) -> dict[str, Any]:
        """For programs."""
        return {
            "zone": self.zone,
            "version": self.version,
            "differs": self.differs,
            "differences": [one.fields() for one in self.found],
            "written": self.written,
            "problem": self.problem or None,
        }


async def compare(api: Api, path: Path) -> list[Plan]:
    """The file's zones against the service's.

    Raises:
        InvalidSettings: the file is wrong; nothing was asked.
        Unavailable: the service does not answer.
    """
    return [await _plan(api, *one) for one in load_policies(path).items()]


async def write(api: Api, plans: Iterable[Plan]) -> list[Plan]:
    """Make live what differs; a zone that changed since it was compared is left as it is."""
    return [await _write(api, plan) for plan in plans]


def described(plans: Iterable[Plan]) -> str:
    """Every zone and what differs in it."""
    return "\n".join(line for plan in plans for line in _lines(plan))


async def _plan(api: Api, zone: str, policy: ZonePolicy) -> Plan:
    said = json.loads(policy_json(policy))
    try:
        live = await api.call("GET", path_of(zone, "policy"))
    except Refused as fault:
        return Plan(zone=zone, policy=said, problem=fault.detail)
    return Plan(
        zone=zone,
        version=live["version"],
        policy=said,
        found=tuple(differences(live["policy"], said)),
        differs=live["digest"] != digest(policy),
    )


async def _write(api: Api, plan: Plan) -> Plan:
    if plan.problem or not plan.differs:
        return plan
    headers = {"If-Match": f'"{plan.version}"'}
    path = path_of(plan.zone, "policy")
    try:
        live = await api.call("PUT", path, body=plan.policy, headers=headers)
    except Refused as fault:
        changed = "it was changed meanwhile; look again. " if fault.status == 412 else ""
        return replace(plan, problem=changed + fault.detail)
    return replace(plan, version=live["version"], written=True)


def _lines(plan: Plan) -> list[str]:
    if plan.problem:
        return [f"{plan.zone}: {plan.problem}"]
    if not plan.differs:
        return [f"{plan.zone}: the file is live (version {plan.version})"]
    head = f"{plan.zone}: the file differs from the live version {plan.version}"
    return [head, *(f"  {one.line()}" for one in plan.found)]

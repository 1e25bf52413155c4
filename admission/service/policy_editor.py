"""Reads and changes live policies for the HTTP API.

Every change is a compare-and-swap on the version. Without a condition of the caller a change that
lost against another one is applied again to the newer policy, so that no change is lost.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeAlias

from admission.config.checks import find_zone_problems
from admission.domain import Answer
from admission.domain.policy import ZonePolicy, apply_merge_patch, parse_policy
from admission.errors import Conflict, FieldError, Invalid, PreconditionFailed
from admission.ledger import Ledger, StoredPolicy
from admission.service.policies import stored_policy
from admission.sources import LiveSources

EDIT_TRIES: Final = 8

Edit: TypeAlias = Callable[[StoredPolicy], ZonePolicy]


class PolicyEditor:
    """Edits the live policies.

    Example:
        answer = await editor.patch("East", {"shadow": True}, versions=None, by="ann")

    Args:
        ledger: stores them.
        sources: has the settings of each configured source, by its name.
    """

    def __init__(self, ledger: Ledger, sources: LiveSources) -> None:
        self._ledger = ledger
        self._sources = sources

    async def read(self, zone: str) -> Answer:
        """The live policy with its version and digest."""
        return await self._build_answer(zone, await self._ledger.get_policy(zone))

    async def put(
        self, zone: str, document: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Replace the policy.

        Args:
            document: the new one, as decoded from JSON.
            versions: those that it may replace; None: any.
            by: the actor, for the audit.

        Raises:
            Invalid: every wrong field.
            PreconditionFailed: the live version is another.
            Conflict: other changes came between all attempts.
        """
        policy = await asyncio.to_thread(self._check, _require_object(document))
        return await self._change(zone, lambda _: policy, versions, by)

    async def patch(
        self, zone: str, patch: Any, versions: frozenset[int] | None, by: str | None = None
    ) -> Answer:
        """Apply a JSON merge patch to the policy; arguments and errors as in `put`."""
        _require_object(patch)

        def edit(live: StoredPolicy) -> ZonePolicy:
            return self._check(apply_merge_patch(json.loads(live.source), patch))

        return await self._change(zone, edit, versions, by)

    async def _change(
        self,
        zone: str,
        edit: Edit,
        versions: frozenset[int] | None,
        by: str | None,
    ) -> Answer:
        for _ in range(EDIT_TRIES):
            live = await self._ledger.get_policy(zone)
            # In a thread: a policy may have 20,000 pools.
            wanted = await asyncio.to_thread(_apply_edit, live, edit, versions)
            if wanted.digest == live.digest:
                return await self._build_answer(zone, live) | {"changed": False}
            with suppress(Conflict):
                version, _ = await self._ledger.store_policy(
                    zone, wanted, "put", expected=live.version, by=by
                )
                # No change came between, so the pauses are those that were read.
                now_live = replace(wanted, version=version, paused=live.paused)
                return await self._build_answer(zone, now_live) | {"changed": True}
        raise Conflict("Other changes of this policy came between all attempts; try again.")

    def _check(self, document: Any) -> ZonePolicy:
        policy = parse_policy(document)
        problems = [one.field_error() for one in find_zone_problems(policy, self._sources.settings)]
        if problems:
            raise Invalid(*problems)
        return policy

    async def _build_answer(self, zone: str, live: StoredPolicy) -> Answer:
        return {
            "now": await self._ledger.get_time(zone),
            "zone": zone,
            "version": live.version,
            "digest": live.digest,
            "policy": json.loads(live.source),
            "paused": dict(live.paused),
        }


def _require_object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise Invalid(FieldError(field="body", message="must be an object"))
    return document


def _apply_edit(live: StoredPolicy, edit: Edit, versions: frozenset[int] | None) -> StoredPolicy:
    """The policy after the edit. An outdated version is no error if that policy is live already: a
    repeat of a request whose answer was lost."""
    if versions is None or live.version in versions:
        return stored_policy(edit(live))
    with suppress(Invalid):
        wanted = stored_policy(edit(live))
        if wanted.digest == live.digest:
            return wanted
    raise PreconditionFailed(f"The live policy is version {live.version}.")

"""What this replica remembers of the zones' policies, so that they outlive a Redis that lost them.

Every answer of the script carries the version of the live policy. A newer one than remembered is
fetched in the background, once at a time for each zone, and no answer waits for that. An older
one, or none, means that Redis lost what this replica saw: it is restored (ledger.py). Of several
replicas the one that saw the highest version wins.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from admission.errors import AdmissionError, Unavailable

log = logging.getLogger(__name__)

LEARN_TRIES: Final = 2  # a fetch that was under way may have been too early


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """A zone's policy as it is stored: compiled for the script, and as its operator wrote it.

    Args:
        version: grows by one with every change; 0 when it was never stored.
        digest: of the source; content with a known digest is not applied from a file again.
        fields: name -> rules, as `admission.domain.policy.compile.compile_policy` makes them.
        source: JSON text of the policy.
        paused: pool, or `zone` for all of it -> since when it is paused, zone time in ms.
        applied: digests of the contents that were live before, oldest first, the newest of them.
        secret: what all replicas sign with; empty when none was needed yet.
    """

    version: int = 0
    digest: str
    fields: Mapping[str, Any]
    source: str
    paused: Mapping[str, int] = field(default_factory=dict)
    applied: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)


class PolicyLost(Unavailable):
    """Redis has an older policy than this replica saw, so the change was not made."""


Fetch = Callable[[str], Awaitable[StoredPolicy]]
OnPolicy = Callable[[str, StoredPolicy], None]


def ignore(_zone: str, _policy: StoredPolicy) -> None:
    """For who needs not know of new policies."""


class PolicyCache:
    """The newest policy of each zone that this replica saw.

    Args:
        fetch: asks for a zone's live policy.
        on_policy: told each newer policy, once; must not block or raise.
    """

    def __init__(self, fetch: Fetch, on_policy: OnPolicy = ignore) -> None:
        self._fetch = fetch
        self._on_policy = on_policy
        self._newest: dict[str, StoredPolicy] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def newest(self, zone: str) -> StoredPolicy | None:
        """What is remembered of a zone."""
        return self._newest.get(zone)

    def version(self, zone: str) -> int:
        """Its version, 0 if nothing is remembered."""
        remembered = self._newest.get(zone)
        return remembered.version if remembered else 0

    def keep(self, zone: str, policy: StoredPolicy) -> None:
        """Remember a policy, unless a newer one is remembered."""
        if policy.version > self.version(zone):
            self._newest[zone] = policy
            self._on_policy(zone, policy)

    def keep_secret(self, zone: str, secret: str) -> None:
        """Remember what the zone's answers are signed with, so that it outlives Redis too."""
        if remembered := self._newest.get(zone):
            self._newest[zone] = replace(remembered, secret=secret)

    def saw(self, zone: str, version: int) -> None:
        """An answer named this version: fetch it if it is new, without waiting."""
        if version > self.version(zone):
            self._begin(zone)

    async def learn(self, zone: str, version: int) -> None:
        """Wait until that version, or a newer one, is remembered; not for ever."""
        for _ in range(LEARN_TRIES):
            if self.version(zone) < version:
                await asyncio.wait({self._begin(zone)})

    async def close(self) -> None:
        """Give up what is being fetched."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, zone: str) -> asyncio.Task[None]:
        task = self._tasks.get(zone)
        if task is None:
            task = asyncio.create_task(self._fetch_once(zone), name=f"policy of {zone}")
            self._tasks[zone] = task
            task.add_done_callback(lambda _: self._tasks.pop(zone, None))
        return task

    async def _fetch_once(self, zone: str) -> None:
        try:
            self.keep(zone, await self._fetch(zone))
        except AdmissionError as fault:
            # The next answer tells of it again.
            log.info("zone %s: its policy could not be fetched: %s", zone, fault.detail)

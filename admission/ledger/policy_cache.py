"""The newest policy of each zone that this replica saw, so that it outlives a loss in Redis.

Every reply of the script carries the version of the live policy. A newer version than the cached
one is fetched in the background, one fetch at a time for each zone, and no answer waits for it. An
older version, or none, means that Redis lost it: the ledger restores the cached policy (ledger.py).
Of several replicas the one with the highest version wins.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from admission.domain.types import SigningKeys
from admission.errors import AdmissionError, Unavailable

log = logging.getLogger(__name__)

LEARN_TRIES: Final = 2  # a fetch under way may have read the version before


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
        secret: signs the zone's `report_url`s and ids; empty when none was needed yet.
        former_secrets: secrets before it, newest first, each with the zone time in ms until which
            its signatures are accepted.
    """

    version: int = 0
    digest: str
    fields: Mapping[str, Any]
    source: str
    paused: Mapping[str, int] = field(default_factory=dict)
    applied: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    former_secrets: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    @property
    def secrets(self) -> "Secrets":
        """The secrets without the policy."""
        return Secrets(current=self.secret, former=self.former_secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets of a zone, as `StoredPolicy` has them."""

    current: str = field(repr=False)
    former: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    def at(self, now: int, *, signs_ids: bool) -> SigningKeys:
        """The keys at zone time `now` in ms. `signs_ids`: whether all replicas know signed ids."""
        accepted = (secret.encode() for secret, until in self.former if now < until)
        return SigningKeys(
            current=self.current.encode(), former=tuple(accepted), signs_ids=signs_ids
        )


class PolicyLost(Unavailable):
    """Redis has an older policy than this replica saw, so the change was not made."""


Fetch = Callable[[str], Awaitable[StoredPolicy]]
OnPolicy = Callable[[str, StoredPolicy], None]


def ignore(_zone: str, _policy: StoredPolicy) -> None:
    """The default callback."""


class PolicyCache:
    """The newest policy of each zone that this replica saw.

    Args:
        fetch: reads a zone's live policy.
        on_policy: called once with each newer policy; must not block or raise.

    Example:
        cache = PolicyCache(ledger.get_policy)
        cache.saw("East", version=7)
    """

    def __init__(self, fetch: Fetch, on_policy: OnPolicy = ignore) -> None:
        self._fetch = fetch
        self._on_policy = on_policy
        self._newest: dict[str, StoredPolicy] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def newest(self, zone: str) -> StoredPolicy | None:
        """The cached policy of a zone."""
        return self._newest.get(zone)

    def version(self, zone: str) -> int:
        """The cached version, 0 if there is none."""
        cached = self._newest.get(zone)
        return cached.version if cached else 0

    def keep(self, zone: str, policy: StoredPolicy) -> None:
        """Cache a policy, unless the cached one is newer."""
        if policy.version > self.version(zone):
            self._newest[zone] = policy
            self._on_policy(zone, policy)

    def keep_secrets(self, zone: str, read: Secrets) -> None:
        """Cache the zone's secrets, so that they outlive a loss in Redis too."""
        if cached := self._newest.get(zone):
            self._newest[zone] = replace(cached, secret=read.current, former_secrets=read.former)

    def saw(self, zone: str, version: int) -> None:
        """Fetch a version that a reply named, if it is new, without waiting."""
        if version > self.version(zone):
            self._begin(zone)

    async def learn(self, zone: str, version: int) -> None:
        """Wait until that version, or a newer one, is cached; a bounded number of attempts."""
        for _ in range(LEARN_TRIES):
            if self.version(zone) < version:
                await asyncio.wait({self._begin(zone)})

    async def close(self) -> None:
        """Cancel the fetches under way."""
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
            # The next reply names the version again.
            log.info("zone %s: its policy could not be fetched: %s", zone, fault.detail)

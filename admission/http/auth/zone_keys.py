"""Signatures are checked with the keys of a zone that this process knows, then with new ones.

Another replica may sign with a newer key, after Redis lost the old one or an operator replaced it.
So a signature that does not fit is checked once more with the keys in Redis, for each zone at most
once a second: otherwise every guess would cost a read.
"""

import time
from collections.abc import Callable
from typing import Final

from admission.domain.types import SigningKeys
from admission.http.decider import Zone

REFRESH_S: Final = 1.0


class ZoneKeys:
    """Checks signatures of zones.

    Args:
        clock: monotonic time in seconds.

    Example:
        if await keys.check(zone, lambda known: prove(id, known) is not Proof.FORGED): ...
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refreshed_at: dict[str, float] = {}

    async def check(self, zone: Zone, fits: Callable[[SigningKeys], bool]) -> bool:
        """Does a signature fit the zone's keys? `fits` is called once or twice."""
        if fits(await zone.get_keys()):
            return True
        newer = await self.refresh(zone)
        return newer is not None and fits(newer)

    async def refresh(self, zone: Zone) -> SigningKeys | None:
        """The keys in Redis; None if they were read within the last second."""
        now = self._clock()
        if now - self._refreshed_at.get(zone.name, -REFRESH_S) < REFRESH_S:
            return None
        self._refreshed_at[zone.name] = now
        return await zone.get_keys(refresh=True)

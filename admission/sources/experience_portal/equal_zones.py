"""Notices that two zones always have the same counts: a server that ignores the zone's field.

A lenient server ignores an element that it does not know, and answers with the default zone.
"""

from collections.abc import Hashable
from typing import Final

ZONES_MAX: Final = 100
# Equal answers in a row, of both zones, after which that is no coincidence.
EQUAL_MIN: Final = 10


class EqualZones:
    """The newest counts of each zone of one platform.

    Example:
        warnings = equal_zones.note("East", (240, 184, 0))
    """

    def __init__(self) -> None:
        self._newest: dict[str, Hashable] = {}
        self._equal: dict[frozenset[str], int] = {}

    def note(self, zone: str, counts: object) -> tuple[str, ...]:
        """Note the counts of a zone. Returns: a warning for each zone with always the same.

        Args:
            zone: the platform's name of it; empty: the default zone.
            counts: anything that is equal for equal answers.
        """
        if zone not in self._newest and len(self._newest) >= ZONES_MAX:
            return ()
        given = repr(counts)
        self._newest[zone] = given
        equal = []
        for other, newest in self._newest.items():
            if other == zone:
                continue
            pair = frozenset((zone, other))
            self._equal[pair] = self._equal.get(pair, 0) + 1 if newest == given else 0
            if self._equal[pair] >= 2 * EQUAL_MIN:
                equal.append(other)
        return tuple(
            f"the zones {zone or 'by default'} and {other or 'by default'} always have equal "
            "counts: does the platform know zone_field? `admission probe` compares it with the WSDL"
            for other in sorted(equal)[:3]
        )

"""Faults that any simulated platform can be told to show."""

from collections.abc import Iterable
from random import Random
from typing import Annotated, Final, Generic, TypeVar

from pydantic import Field

from admission.domain.types import StrictModel

FAULTS_MAX: Final = 20
# More than any platform here has; a platform refuses operations that it does not have.
OPERATIONS_MAX: Final = 16

UNSIGNED_WRAP: Final = 2**32 - 1


class InjectedFault(StrictModel):
    """When a platform misbehaves.

    Args:
        operations: at which operations; empty: at all.
        probability: how often.
        times: so many times, then no more; null: until it is taken away.
        delay_ms: of `slow`.
    """

    operations: Annotated[tuple[str, ...], Field(max_length=OPERATIONS_MAX, strict=False)] = ()
    probability: Annotated[float, Field(ge=0, le=1, strict=False)] = 1.0
    times: Annotated[int, Field(ge=0)] | None = None
    delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 2_000


Bad = TypeVar("Bad", bound=InjectedFault)


class ActiveFaults(Generic[Bad]):
    """The misbehaviours now switched on. Args: random: for their probabilities."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._faults: list[tuple[Bad, int | None]] = []

    def replace(self, faults: Iterable[Bad]) -> None:
        """Switch these on and all others off."""
        self._faults = [(one, one.times) for one in faults]

    def told(self) -> list[dict[str, object]]:
        """What is switched on; `times` is what is left."""
        return [{**one.model_dump(), "times": left} for one, left in self._faults]

    def pick(self, operation: str) -> Bad | None:
        """What happens to this request: the first misbehaviour that fits and whose dice fall so."""
        for index, (fault, left) in enumerate(self._faults):
            fits = not fault.operations or operation in fault.operations
            if fits and left != 0 and self._random.random() < fault.probability:
                self._faults[index] = (fault, None if left is None else left - 1)
                return fault
        return None

"""Faults that a test injects into a simulated platform."""

from collections.abc import Iterable
from random import Random
from typing import Annotated, Final, Generic, TypeVar

from pydantic import Field

from admission.domain import StrictModel

FAULTS_MAX: Final = 20
# More operations than any simulated platform has.
OPERATIONS_MAX: Final = 16

# -1 in an unsigned 32-bit field: Huawei's documents, and counts of other platforms that went
# below zero.
UNSIGNED_WRAP: Final = 2**32 - 1


class InjectedFault(StrictModel):
    """The conditions of one fault.

    Args:
        operations: the operations that it affects; empty: all.
        probability: of the fault, for each affected request.
        times: faults until it ends; null: until it is removed.
        delay_ms: of the kind `slow`.
    """

    operations: Annotated[tuple[str, ...], Field(max_length=OPERATIONS_MAX, strict=False)] = ()
    probability: Annotated[float, Field(ge=0, le=1, strict=False)] = 1.0
    times: Annotated[int, Field(ge=0)] | None = None
    delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 2_000


Injected = TypeVar("Injected", bound=InjectedFault)


class ActiveFaults(Generic[Injected]):
    """The faults that are active now.

    Args:
        random: decides by their probabilities.

    Example:
        faults.replace([Fault(kind="slow", delay_ms=500)])
        fault = faults.pick("QueryResources")
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._faults: list[tuple[Injected, int | None]] = []

    def replace(self, faults: Iterable[Injected]) -> None:
        """Activate these faults and no others."""
        self._faults = [(one, one.times) for one in faults]

    def list_active(self) -> list[dict[str, object]]:
        """Return the active faults; `times` is the number that is left."""
        return [{**one.model_dump(), "times": left} for one, left in self._faults]

    def pick(self, operation: str) -> Injected | None:
        """Choose the fault for a request: the first that affects it, by its probability."""
        for index, (fault, left) in enumerate(self._faults):
            fits = not fault.operations or operation in fault.operations
            if fits and left != 0 and self._random.random() < fault.probability:
                self._faults[index] = (fault, None if left is None else left - 1)
                return fault
        return None

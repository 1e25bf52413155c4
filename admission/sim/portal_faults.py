"""How the simulated platform misbehaves when told to: the ways that were seen or are feared."""

from collections.abc import Iterable
from random import Random
from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar

from pydantic import Field

from admission.model import Strict
from admission.sim.portal_contract import OPERATIONS
from admission.sim.portal_soap import Values

FAULTS_MAX: Final = 20
UNSIGNED_WRAP: Final = 2**32 - 1

FaultKind: TypeAlias = Literal[
    "slow",  # answers after delay_ms; its counts are from before
    "hang",  # reads the request and never answers
    "drop",  # closes the connection; nothing was done
    "drop_reply",  # does it, then closes the connection: outcome unknown
    "unauthorized",  # 401
    "html",  # an HTML error page with status 200
    "not_xml",
    "truncated",  # the first half of the answer, as if it were all
    "http_500",  # a bare 500 without SOAP
    "fault",  # a SOAP fault
    "huge",  # an answer of 8 MiB
    "negative",  # a count below zero
    "above_total",  # more unused than there are
    "wrap",  # 4294967295
]


class Misbehaviour(Strict):
    """When a platform misbehaves.

    Args:
        operations: at which operations; empty: at all.
        probability: how often.
        times: so many times, then no more; null: until it is taken away.
        delay_ms: of `slow`.
    """

    operations: Annotated[tuple[str, ...], Field(max_length=len(OPERATIONS), strict=False)] = ()
    probability: Annotated[float, Field(ge=0, le=1, strict=False)] = 1.0
    times: Annotated[int, Field(ge=0)] | None = None
    delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 2_000


class Fault(Misbehaviour):
    """One misbehaviour. Args: kind: what happens."""

    kind: FaultKind


Bad = TypeVar("Bad", bound=Misbehaviour)


class Faults(Strict):
    """The body of `PUT /sim/faults`: replaces all there were."""

    faults: Annotated[list[Fault], Field(max_length=FAULTS_MAX)]


class FaultBox(Generic[Bad]):
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


def distort(kind: FaultKind | None, values: Values) -> Values:
    """The nonsense that some misbehaviours make of counts; any other answer stays as it is."""
    if kind is None or "unusedSIP_returned" not in values:
        return values
    total = int(values["totalRes_returned"])
    wrong: dict[str, Values] = {
        "negative": {"unusedSIP_returned": -1},
        "above_total": {"unusedSIP_returned": total + 1},
        "wrap": {"unusedSIP_returned": UNSIGNED_WRAP, "unusedH323_returned": UNSIGNED_WRAP},
    }
    return {**values, **wrong.get(kind, {})}

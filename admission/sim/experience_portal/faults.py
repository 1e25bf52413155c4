"""Faults of the simulated platform: those that were observed, and those that are conceivable."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from admission.domain import StrictModel
from admission.sim.experience_portal.soap import Values
from admission.sim.faults import FAULTS_MAX, UNSIGNED_WRAP, InjectedFault

FaultKind: TypeAlias = Literal[
    "slow",  # answers after delay_ms; its counts are from before
    "hang",  # reads the request and does not answer
    "drop",  # closes the connection without performing the operation
    "drop_reply",  # performs it, then closes the connection: outcome unknown
    "unauthorized",  # 401
    "html",  # an HTML error page with status 200
    "not_xml",
    "truncated",  # the first half of the answer, as if it were all
    "http_500",  # a bare 500 without SOAP
    "fault",  # a SOAP fault
    "huge",  # an answer of 8 MiB
    "negative",  # a count below zero
    "above_total",  # more unused ports than there are
    "wrap",  # 4294967295
]


class Fault(InjectedFault):
    """One fault.

    Args:
        kind: its effect.
    """

    kind: FaultKind


class Faults(StrictModel):
    """The body of `PUT /sim/faults`; it replaces all active faults."""

    faults: Annotated[list[Fault], Field(max_length=FAULTS_MAX)]


def distort(kind: FaultKind | None, values: Values) -> Values:
    """Replace counts by the wrong ones of some faults; other answers stay unchanged."""
    if kind is None or "unusedSIP_returned" not in values:
        return values
    total = int(values["totalRes_returned"])
    wrong: dict[str, Values] = {
        "negative": {"unusedSIP_returned": -1},
        "above_total": {"unusedSIP_returned": total + 1},
        "wrap": {"unusedSIP_returned": UNSIGNED_WRAP, "unusedH323_returned": UNSIGNED_WRAP},
    }
    return {**values, **wrong.get(kind, {})}

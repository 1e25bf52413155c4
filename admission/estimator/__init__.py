"""Learned ceilings as pure values: no I/O, no clock. The theory of operation is in estimator.py."""

from admission.estimator.distrust import Doubt
from admission.estimator.estimator import Estimate, Step, learn
from admission.estimator.findings import Findings, findings
from admission.estimator.observation import Counters, Observation
from admission.estimator.parameters import Parameters
from admission.estimator.state import State

__all__ = [
    "Counters",
    "Doubt",
    "Estimate",
    "Findings",
    "Observation",
    "Parameters",
    "State",
    "Step",
    "findings",
    "learn",
]

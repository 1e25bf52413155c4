"""The policy of a zone: its document, its rules, its compiled form."""

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.diff import Difference, differences
from admission.domain.policy.document import digest, from_json, parse_policy, policy_json
from admission.domain.policy.merge_patch import apply_merge_patch
from admission.domain.policy.zone import ZonePolicy

__all__ = [
    "Difference",
    "ZonePolicy",
    "apply_merge_patch",
    "compile_policy",
    "differences",
    "digest",
    "from_json",
    "parse_policy",
    "policy_json",
]

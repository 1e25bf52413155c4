"""The policy as a document: parsing, JSON form, digest."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError

from admission.domain.policy.zone import ZonePolicy
from admission.domain.validation import list_problems
from admission.errors import Invalid

PROBLEMS_MAX: Final = 100


def parse_policy(data: object) -> ZonePolicy:
    """The policy in a decoded JSON or TOML document.

    Raises:
        Invalid: it is not one; lists the wrong fields, a hundred at most.
    """
    return _parse(lambda: ZonePolicy.model_validate(data))


def from_json(text: str | bytes) -> ZonePolicy:
    """The policy in a JSON text, such as `policy_json` writes.

    Raises:
        Invalid: it is not one; as `parse_policy`.
    """
    return _parse(lambda: ZonePolicy.model_validate_json(text))


def policy_json(policy: ZonePolicy) -> str:
    """The policy's source: what was said, in the order in which it was said, no defaults.

    Defaults stay out so that a release with a new parameter does not make every unchanged
    file look changed.
    """
    return json.dumps(_dump_source(policy), separators=(",", ":"))


def digest(policy: ZonePolicy) -> str:
    """SHA-256 (hex) of the policy's canonical source: equal for files that say the same.

    Only the order of the MPPs counts, because placement prefers the first on ties.
    """
    said = _dump_source(policy)
    said["mpps"] = list(said.get("mpps", {}).items())
    canonical = json.dumps(said, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _dump_source(policy: ZonePolicy) -> dict[str, Any]:
    return policy.model_dump(exclude_unset=True)


def _parse(parse: Callable[[], ZonePolicy]) -> ZonePolicy:
    try:
        return parse()
    except ValidationError as error:
        found = list_problems(ZonePolicy, error, most=PROBLEMS_MAX)
        raise Invalid(*(problem.field_error() for problem in found)) from None

"""JSON merge patch (RFC 7396): an object of changes, null removes a key."""

from typing import Any


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """`target` after `patch`; neither is changed.

    Objects are merged key by key; anything else, a list too, replaces what was there.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), value)
    return result

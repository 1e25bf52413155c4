"""The script sends the shared fields of plain grants once; the API shows each grant in full."""

from typing import Any

import pytest

from admission.ledger import results

OP = {"op": "admit", "id": "abc", "request_id": "r-abc", "campaign": "c", "count": 1}
LIKE: dict[str, Any] = {
    "channel": "sip",
    "mpp": "m1",
    "launch_within_ms": 500,
    "renew_within_ms": 3000,
    "snapshot": {"age_ms": 4, "total": 10, "unused": 7},
}
BARE = {name: LIKE[name] for name in ("channel", "launch_within_ms", "renew_within_ms")}


@pytest.mark.parametrize("like", [LIKE, BARE], ids=["all", "no MPP, no snapshot"])
@pytest.mark.parametrize("room", [3, 0, None])
def test_a_plain_grant_is_shown_as_any_other(like: dict[str, Any], room: int | None) -> None:
    grant = results.PlainGrant(like, room)
    shown = results.build_plain_grant("East", OP, 17, grant)
    other = results.build_decision("East", OP, 17, results.expand_plain_grant(OP, grant))
    assert shown == other
    assert list(shown) == list(other)  # in the order of the API


def test_each_plain_grant_points_at_what_it_is_like() -> None:
    deny = {"decision": "deny"}
    reply = {"now": 1, "shared": [LIKE, BARE], "results": [[1, None], deny, [0, 4], {}]}
    assert list(results.iterate_results(reply)) == [
        results.PlainGrant(BARE, None),
        deny,
        results.PlainGrant(LIKE, 4),
        {},
    ]

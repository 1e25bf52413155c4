"""How asks that come together are divided into parts."""

import pytest

from admission.ledger import operations
from admission.ledger.group_commit import SHARED_UNITS_MAX

MOST = SHARED_UNITS_MAX - 40


@pytest.mark.parametrize(
    ("counts", "parts"),
    [
        ([], []),
        ([SHARED_UNITS_MAX + 1], [[SHARED_UNITS_MAX + 1]]),
        ([1, 2], [[1, 2]]),
        ([MOST, 40], [[MOST, 40]]),
        ([MOST, 40, 1], [[MOST, 40], [1]]),
        ([1, SHARED_UNITS_MAX, 1], [[1], [SHARED_UNITS_MAX], [1]]),
        ([MOST, 41, MOST, 1], [[MOST], [41], [MOST, 1]]),
    ],
)
def test_requests_keep_their_order_and_fill_each_part(
    counts: list[int], parts: list[list[int]]
) -> None:
    asks = [{"request_id": str(n), "count": count} for n, count in enumerate(counts)]

    divided = list(operations.split_by_units(asks))

    assert [ask for part, _ in divided for ask in part] == asks
    assert [[ask["count"] for ask in part] for part, _ in divided] == parts
    assert [units for _, units in divided] == [sum(part) for part in parts]

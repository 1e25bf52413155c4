"""How asks that come together are divided among the script's calls."""

import pytest

from admission.ledger import operations
from admission.ledger.group_commit import UNITS_MAX

MOST = UNITS_MAX - 100


@pytest.mark.parametrize(
    ("counts", "parts"),
    [
        ([], []),
        ([UNITS_MAX + 1], [[UNITS_MAX + 1]]),
        ([1, 2], [[1, 2]]),
        ([MOST, 100], [[MOST, 100]]),
        ([MOST, 100, 1], [[MOST, 100], [1]]),
        ([1, UNITS_MAX, 1], [[1], [UNITS_MAX], [1]]),
        ([MOST, 101, MOST, 1], [[MOST], [101], [MOST, 1]]),
    ],
)
def test_requests_keep_their_order_and_fill_each_call(
    counts: list[int], parts: list[list[int]]
) -> None:
    asks = [{"request_id": str(n), "count": count} for n, count in enumerate(counts)]

    divided = list(operations.split_by_units(asks))

    assert [ask for part, _ in divided for ask in part] == asks
    assert [[ask["count"] for ask in part] for part, _ in divided] == parts
    assert [units for _, units in divided] == [sum(part) for part in parts]

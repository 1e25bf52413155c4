"""What tests of the script stand on."""

import pytest
import redis

from tests.ledger.hand import Hand, ask


@pytest.fixture
def zone(redis_sync: redis.Redis) -> Hand:
    """Two ports, both taken by x and y."""
    hand = Hand(redis_sync)
    hand.call(ask("x"), ask("y"))
    return hand

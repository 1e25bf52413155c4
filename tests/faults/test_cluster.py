"""A Redis Cluster of three primaries and three replicas, under load."""

import asyncio

import pytest

from admission.config.settings import RedisSettings
from tests.faults.world import World, world
from tests.support.redis_clusters import Move, cluster, is_well, keys_in
from tests.support.redis_sets import until

pytestmark = pytest.mark.faults
ZONE = "East"


async def test_the_zone_s_slot_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        cluster(replicas=True) as six,
        world(monkeypatch, RedisSettings(url=six.url)) as alive,
    ):
        for _ in range(3):
            move = Move(six, ZONE)
            move.begin()
            for key in keys_in(move.source, move.slot):
                move.carry([key])
                await asyncio.sleep(alive.random.uniform(0.0, 0.03))
            move.carry(keys_in(move.source, move.slot))
            move.end()
            await alive.resumes()
            await asyncio.sleep(0.3)
            move.back()
            await alive.resumes()
            await asyncio.sleep(0.3)
        await alive.judge("Cluster: the zone's slot moved 6 times")


async def test_the_zone_s_primary_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        cluster(replicas=True) as six,
        world(monkeypatch, RedisSettings(url=six.url)) as alive,
    ):
        six.owner(ZONE).kill()
        await alive.resumes()
        await alive.judge("Cluster: the zone's primary killed")


async def test_the_majority_dies_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        cluster(replicas=True) as six,
        world(monkeypatch, RedisSettings(url=six.url)) as alive,
    ):
        others = [one for one in six.primaries if one is not six.owner(ZONE)]
        for one in others:
            one.kill()
        await until(lambda: not is_well(six.owner(ZONE)), "the zone's node is alone")
        await _refused(alive)
        for one in others:
            one.start()
        await alive.resumes()
        await alive.judge("Cluster: 2 of 3 primaries killed, then started again")


async def _refused(alive: World) -> None:
    """Until asks are refused: no grant is made while the majority is away."""
    before = alive.tally.statuses.get(503, 0)
    async with asyncio.timeout(30):
        while alive.tally.statuses.get(503, 0) < before + 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

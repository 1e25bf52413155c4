"""A Redis Cluster of three primaries and three replicas, under load."""

import asyncio

import pytest

from admission.config.settings import RedisSettings
from tests.faults.load import run_load, serve_polling
from tests.support.redis_clusters import Move, cluster, is_well, keys_in
from tests.support.redis_sets import until

pytestmark = pytest.mark.faults
ZONE = "East"


async def test_the_slot_of_the_zone_moves() -> None:
    async with (
        cluster(replicas=True) as six,
        run_load(serve_polling(RedisSettings(url=six.url))) as load,
    ):
        for _ in range(3):
            move = Move(six, ZONE)
            move.begin()
            for key in keys_in(move.source, move.slot):
                move.carry([key])
                await asyncio.sleep(load.random.uniform(0.0, 0.03))
            move.carry(keys_in(move.source, move.slot))
            move.end()
            await load.wait_for_grant()
            await asyncio.sleep(0.3)
            move.back()
            await load.wait_for_grant()
            await asyncio.sleep(0.3)
        await load.finish("Cluster: the zone's slot moved 6 times")


async def test_the_primary_of_the_zone_is_killed() -> None:
    async with (
        cluster(replicas=True) as six,
        run_load(serve_polling(RedisSettings(url=six.url))) as load,
    ):
        six.owner(ZONE).kill()
        await load.wait_for_grant()
        await load.finish("Cluster: the zone's primary killed")


async def test_the_majority_is_killed_and_started_again() -> None:
    async with (
        cluster(replicas=True) as six,
        run_load(serve_polling(RedisSettings(url=six.url))) as load,
    ):
        others = [one for one in six.primaries if one is not six.owner(ZONE)]
        for one in others:
            one.kill()
        await until(lambda: not is_well(six.owner(ZONE)), "the zone's node is alone")
        await load.wait_for_refusals()
        for one in others:
            one.start()
        await load.wait_for_grant()
        await load.finish("Cluster: 2 of 3 primaries killed, then started again")

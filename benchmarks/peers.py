"""Minimal alternatives behind aiohttp: `python -m benchmarks.peers KIND PORT URL`.

echo        returns the JSON of the request: the cost of aiohttp itself
semaphore   INCR under a limit and DECR, in a script of Redis: does not know the holders
limits      a window of the package `limits` in Redis: counts launches, without ends
"""

import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
import uvloop
from aiohttp import web

LIMIT = 1_000_000_000
TAKE = """
local n = redis.call('INCR', KEYS[1])
if n <= tonumber(ARGV[1]) then return 1 end
redis.call('DECR', KEYS[1])
return 0
"""

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def echo(_: str) -> dict[str, Handler]:
    async def same(request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    return {"/v1/admissions": same}


async def semaphore(url: str) -> dict[str, Handler]:
    client = redis.asyncio.Redis.from_url(url)
    take = client.register_script(TAKE)

    async def admit(request: web.Request) -> web.Response:
        body = await request.json()
        granted = await take(keys=[f"peer:{body['campaign']}"], args=[LIMIT])
        return web.json_response({"granted": bool(granted), "id": secrets.token_urlsafe(8)})

    async def end(request: web.Request) -> web.Response:
        await request.json()
        await client.decr("peer:collections")
        return web.json_response({"state": "ended"})

    return {"/v1/admissions": admit, "/end/{id}": end}


async def window(url: str) -> dict[str, Handler]:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import FixedWindowRateLimiter

    storage = RedisStorage(
        f"async+{url.replace('unix://', 'redis+unix://')}", implementation="redispy"
    )
    limiter = FixedWindowRateLimiter(storage)
    rate = RateLimitItemPerSecond(LIMIT)

    async def admit(request: web.Request) -> web.Response:
        body = await request.json()
        granted = await limiter.hit(rate, body["campaign"])
        return web.json_response({"granted": granted, "id": secrets.token_urlsafe(8)})

    async def end(request: web.Request) -> web.Response:
        await request.json()
        return web.json_response({"state": "ended"})

    return {"/v1/admissions": admit, "/end/{id}": end}


KINDS: dict[str, Callable[[str], Awaitable[dict[str, Handler]]]] = {
    "echo": echo,
    "semaphore": semaphore,
    "limits": window,
}


async def main(kind: str, port: int, url: str) -> None:
    app = web.Application()
    for path, handler in (await KINDS[kind](url)).items():
        app.router.add_post(path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await _for_ever()


async def _for_ever() -> Any:
    import asyncio

    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

"""The load generator without wrk: `python -m benchmarks.loader SCRIPT URL CONNECTIONS SECONDS`.

It reads the same settings from the environment as the scripts in benchmarks/wrk and prints the same
line. A Python process is hardly faster than the servers: its figures are lower bounds.
"""

import asyncio
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import uvloop

ENV = os.environ


class Connection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, method: str, path: str, body: str) -> tuple[int, str]:
        """Status and body."""
        token = f"Authorization: Bearer {ENV['TOKEN']}\r\n" if "TOKEN" in ENV else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        text = f"{head}{token}Content-Length: {len(body)}\r\n\r\n{body}"
        self._writer.write(text.encode())
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", answer)
        content = await self._reader.readexactly(int(length[1]) if length else 0)
        return int(answer.split(" ", 2)[1]), content.decode()


class Counts:
    """What all connections did."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.pairs = 0
        self.errors = 0

    async def ask(self, connection: Connection, method: str, path: str, body: str) -> str:
        """Send one request, and count it."""
        started = time.perf_counter()
        status, text = await connection.ask(method, path, body)
        self.took_s.append(time.perf_counter() - started)
        self.errors += status >= 300
        return text


async def one(connection: Connection, counts: Counts) -> None:
    """Send the same request again."""
    await counts.ask(connection, ENV.get("METHOD", "POST"), ENV["PATH_"], ENV["BODY"])


async def pairs(connection: Connection, counts: Counts) -> None:
    """Reserve, and end the reservation."""
    pattern = ENV["ID"].replace("%", "\\")  # Lua's classes, as far as they are used
    if "FIRST_PATH" in ENV:
        text = await counts.ask(connection, "POST", ENV["FIRST_PATH"], ENV["FIRST_BODY"])
        await counts.ask(connection, "PUT", ENV["PATH_"] % text, ENV["BODY"])
    else:
        text = await counts.ask(connection, "POST", ENV["PATH_"], ENV["BODY"])
    found = re.search(pattern, text)
    if found:
        path = ENV["END_PATH"] % found[1]
        await counts.ask(connection, ENV["END_METHOD"], path, ENV.get("END_BODY", ""))
        counts.pairs += 1


Step = Callable[[Connection, Counts], Awaitable[None]]


async def main(script: str, url: str, connections: int, seconds: float) -> None:
    """Drive, then tell what was counted."""
    step: Step = {"one": one, "pairs": pairs}[script]
    counts, place = Counts(), urlsplit(url)
    opened = [
        Connection(*await asyncio.open_connection(place.hostname, place.port))
        for _ in range(connections)
    ]
    started = time.perf_counter()

    async def until_the_end(connection: Connection) -> None:
        while time.perf_counter() - started < seconds:
            await step(connection, counts)

    await asyncio.gather(*map(until_the_end, opened))
    cuts = statistics.quantiles(counts.took_s, n=100)
    found = {"requests": len(counts.took_s), "us": 1e6 * (time.perf_counter() - started)}
    found |= {"p50_us": 1e6 * cuts[49], "p99_us": 1e6 * cuts[98], "errors": counts.errors}
    line = found | ({"pairs": counts.pairs} if script == "pairs" else {})
    print("FOUND " + json.dumps(line))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

"""The composition root: settings in, a service that decides out; and everything closed again.

settings -> Redis -> ledger -> policies stored -> sources -> poller -> Service (the HTTP's Decider)
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

from admission.handover import Handover
from admission.ledger.bell import LOST, Bell
from admission.ledger.connection import RedisConnection, open_connection
from admission.ledger.guids import HandedGuids
from admission.ledger.ledger import Ledger, Statistics
from admission.policies import Policies, polling, source_types
from admission.policy_editor import PolicyEditor
from admission.service import Service
from admission.settings import Settings
from admission.sources.build import build_source
from admission.sources.health import PollEvent
from admission.sources.poller import Poller
from admission.tasks import end_all
from admission.telemetry import Telemetry
from admission.waiting import Waiting

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_service(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Service]:
    """Open everything that deciding takes, in order; close it in the reverse order.

    A Redis that does not answer yet is waited for in the background: the service is not ready
    until then, and every decision is refused as unavailable.

    Raises:
        ConfigError: something that is configured cannot work.
    """
    async with AsyncExitStack() as stack:
        connection = await open_connection(settings.redis)
        stack.push_async_callback(connection.close)
        statistics = Statistics(on_batch=telemetry.group_committed, on_call=telemetry.called)
        policies = Policies(settings.zones)
        ledger = Ledger(connection, statistics=statistics, on_policy=policies.saw)
        stack.push_async_callback(ledger.close)
        sources = {name: build_source(name, one) for name, one in settings.sources.items()}
        for source in sources.values():
            stack.push_async_callback(source.close)
        replica = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        waiting = Waiting(ledger, replica=replica, limit=settings.limits.waiters)
        stack.push_async_callback(waiting.stop)
        poller = Poller(
            ledger,
            holder=replica,
            zones={},
            on_event=_counting(telemetry),
        )
        editor = PolicyEditor(ledger, source_types(settings.sources))
        handover = Handover(HandedGuids(connection), sources)
        service = Service(policies, editor, connection, ledger, poller, waiting, handover)
        async with (
            _prepared(service),
            _rung(connection, poller, waiting),
            polling(policies, poller, sources),
        ):
            yield service


@asynccontextmanager
async def _prepared(service: Service) -> AsyncIterator[None]:
    """Prepare in the background; a store that must not be used ends the service."""
    preparing = asyncio.create_task(service.prepare(), name="prepare")
    try:
        # Most of the time Redis is there: then the first request finds everything ready.
        await asyncio.wait({preparing}, timeout=1.0)
        if preparing.done():
            preparing.result()
        else:
            preparing.add_done_callback(_log_failure)
        yield
    finally:
        await end_all(preparing)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()):
        log.error("this Redis cannot be used: %s", fault)


@asynccontextmanager
async def _rung(
    connection: RedisConnection, poller: Poller, waiting: Waiting
) -> AsyncIterator[None]:
    """Listen for `poll ZONE`: somebody, on whatever replica, waits for a newer snapshot.

    And for `room ZONE`: something got better for those who wait for room.
    """

    def ring(text: str) -> None:
        verb, _, zone = text.partition(" ")
        if verb == "poll":
            poller.poke(zone)
        elif text == LOST:
            waiting.lost()
        else:
            waiting.hear(text)

    bell = Bell(connection.client, connection.settings.key_prefix)
    stop_listening = bell.listen(ring)
    await bell.start()
    try:
        yield
    finally:
        stop_listening()
        await bell.stop()


def _counting(telemetry: Telemetry) -> Any:
    def count(event: PollEvent) -> None:
        if event.kind in ("accepted", "refused", "failed"):
            telemetry.polled(event.zone, event.source, failed=event.kind == "failed")

    return count

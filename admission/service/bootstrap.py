"""The composition root: builds a service from settings, and closes it.

settings -> Redis -> ledger -> policies stored -> sources -> poller -> Service (the HTTP's Decider)
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from admission.config import Settings
from admission.ledger import (
    NOTIFICATIONS_LOST,
    AgentSessionStore,
    Ledger,
    LedgerHooks,
    NotificationListener,
    RedisConnection,
    open_connection,
)
from admission.service.agent_sessions import AgentSessions
from admission.service.policies import PolicyRegistry
from admission.service.policy_editor import PolicyEditor
from admission.service.service import Service
from admission.service.waiting.coordinator import WaitCoordinator
from admission.service.zone import Components
from admission.sources import LiveSources, Source
from admission.sources.polling import Poller, PollEvent
from admission.tasks import cancel_and_wait
from admission.telemetry import Telemetry

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_service(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Service]:
    """Open all resources in order; close them in the reverse order.

    While Redis does not answer yet, a background task waits for it: the service is not ready until
    then, and every decision is refused as unavailable.

    Raises:
        ConfigError: something that is configured cannot work.
    """
    async with AsyncExitStack() as stack:
        connection = await open_connection(settings.redis)
        stack.push_async_callback(connection.close)
        statistics = LedgerHooks(on_batch=telemetry.observe_batch, on_call=telemetry.observe_call)
        policies = PolicyRegistry(settings.zones)
        ledger = Ledger(connection, statistics=statistics, on_policy=policies.on_policy)
        stack.push_async_callback(ledger.close)
        sources = LiveSources(settings.sources)
        stack.push_async_callback(sources.close)
        replica = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        waiting = WaitCoordinator(ledger, replica=replica, limit=settings.limits.max_waiters)
        stack.push_async_callback(waiting.stop)
        poller = Poller(
            ledger,
            holder=replica,
            zones={},
            on_event=_count_polls(telemetry),
        )
        editor = PolicyEditor(ledger, sources)
        components = Components(
            policies=policies,
            editor=editor,
            ledger=ledger,
            waiting=waiting,
            poller=poller,
            sessions=AgentSessions(AgentSessionStore(connection), sources),
            sources=sources,
        )
        service = Service(connection, components)
        async with (
            _prepare_in_background(service),
            _handle_notifications(connection, poller, waiting),
            run_poller(policies, poller, sources),
        ):
            yield service


@asynccontextmanager
async def _prepare_in_background(service: Service) -> AsyncIterator[None]:
    """Prepare in the background; a store that must not be used fails the start."""
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
        await cancel_and_wait(preparing)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()):
        log.error("this Redis cannot be used: %s", fault)


@asynccontextmanager
async def _handle_notifications(
    connection: RedisConnection, poller: Poller, waiting: WaitCoordinator
) -> AsyncIterator[None]:
    """Handle notifications of all replicas.

    `poll ZONE`: a request on some replica needs a newer snapshot. `room ZONE`: there may be room
    for a request that waits.
    """

    def handle(text: str) -> None:
        verb, _, zone = text.partition(" ")
        if verb == "poll":
            poller.request_poll(zone)
        elif text == NOTIFICATIONS_LOST:
            waiting.on_notifications_lost()
        else:
            waiting.on_notification(text)

    listener = NotificationListener(connection.client, connection.settings.key_prefix)
    stop_listening = listener.listen(handle)
    await listener.start()
    try:
        yield
    finally:
        stop_listening()
        await listener.stop()


def _count_polls(telemetry: Telemetry) -> Callable[[PollEvent], None]:
    def count(event: PollEvent) -> None:
        if event.kind in ("accepted", "refused", "failed"):
            telemetry.count_poll(event.zone, event.source, failed=event.kind == "failed")
        if event.kind in ("accepted", "refused"):
            telemetry.count_snapshot(event.zone, event.reason)

    return count


@asynccontextmanager
async def run_poller(
    policies: PolicyRegistry, poller: Poller, sources: Mapping[str, Source]
) -> AsyncIterator[None]:
    """Poll as the live policies say, whichever replica changed them."""

    async def follow() -> None:
        while True:
            await policies.changed.wait()
            policies.changed.clear()
            try:
                await poller.configure(policies.polls(sources))
            except Exception:  # a defect here must not hide all later changes
                log.exception("the poller did not take a change of policy")

    await poller.start()
    following = asyncio.create_task(follow(), name="follow policies")
    try:
        yield
    finally:
        await cancel_and_wait(following)
        await poller.stop()

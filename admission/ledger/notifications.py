"""The bell: one subscription that tells this replica what happened on others.

A ring is a hint ("look again"), never a fact. Who listens must be right without it, only slower:
while the connection is down rings are lost, and after it came back `NOTIFICATIONS_LOST` is rung.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from redis import exceptions
from redis.asyncio.client import PubSub

from admission.ledger import keys
from admission.ledger.store.connection import Client
from admission.tasks import cancel_and_wait

log = logging.getLogger(__name__)

NOTIFICATIONS_LOST = "lost"
TEXT_BYTES_MAX = 512
LISTENERS_MAX = 1000
IDLE_S = 10.0  # after so much silence the connection is probed
REPLY_S = 2.0
BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 2.0


class NotificationListener:
    """Listens on `{key_prefix}:bell` and hands each text, such as `poll East`, to all listeners.

    Args:
        client: a client whose answers are bytes; one of its connections is kept.
        key_prefix: the `redis.key_prefix` of the configuration.
    """

    def __init__(self, client: Client, key_prefix: str) -> None:
        self.channel = keys.notification_channel(key_prefix)
        self._client = client
        self._listeners: dict[object, Callable[[str], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self._heard_before = False

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback` with the text of every ring; it must not block.

        Returns: a function that ends it. Raises: RuntimeError: more than LISTENERS_MAX.
        """
        if len(self._listeners) >= LISTENERS_MAX:
            raise RuntimeError(f"more than {LISTENERS_MAX} listeners")
        key = object()
        self._listeners[key] = callback

        def stop_listening() -> None:
            self._listeners.pop(key, None)

        return stop_listening

    async def start(self) -> None:
        """Begin to listen. Redis need not be there yet: see `subscribed`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="bell")

    async def stop(self) -> None:
        """Hang up. Safe to call twice."""
        task, self._task = self._task, None
        if task:
            await cancel_and_wait(task)

    async def subscribed(self) -> None:
        """Wait until rings are heard."""
        await self._subscribed.wait()

    async def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            try:
                await self._hear()
            except Exception as exc:  # whatever it was: a deaf replica is worse
                if self._subscribed.is_set() or backoff_s == BACKOFF_MIN_S:
                    log.warning("bell: not connected, trying again: %s", exc)
                if self._subscribed.is_set():
                    backoff_s = BACKOFF_MIN_S
            self._subscribed.clear()
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _hear(self) -> None:
        async with self._client.pubsub() as pubsub:
            await pubsub.subscribe(self.channel)
            while True:
                self._take(await _next(pubsub))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":  # comes again when the client reconnected by itself
            self._on_subscribed()
        elif message["type"] == "message" and len(message["data"]) <= TEXT_BYTES_MAX:
            self._ring(message["data"].decode(errors="replace"))

    def _on_subscribed(self) -> None:
        self._subscribed.set()
        if self._heard_before:
            log.info("bell: connected again")
            self._ring(NOTIFICATIONS_LOST)
        self._heard_before = True

    def _ring(self, text: str) -> None:
        for callback in list(self._listeners.values()):
            try:
                callback(text)
            except Exception:  # one listener's fault must not deafen the others
                log.exception("bell: a listener failed on %r", text)


async def _next(pubsub: PubSub) -> dict[str, Any]:
    """The next message of any type. Raises: redis TimeoutError: not even a pong came."""
    message = await pubsub.get_message(timeout=IDLE_S)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=REPLY_S)
    if message is None:
        raise exceptions.TimeoutError("the server is silent")
    return dict(message)

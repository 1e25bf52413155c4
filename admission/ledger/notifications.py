"""Notifications between replicas: one subscription to the channel on which the script publishes.

A notification is a hint to look at a zone, never a fact. Listeners are correct without it, only
slower: while the connection is down notifications are lost, and after it came back listeners
receive NOTIFICATIONS_LOST.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from redis import exceptions
from redis.asyncio.client import PubSub

from admission.ledger import keys
from admission.ledger.store.connection import Client
from admission.tasks import Backoff, cancel_and_wait

log = logging.getLogger(__name__)

NOTIFICATIONS_LOST: Final = "lost"
TEXT_BYTES_MAX: Final = 512
LISTENERS_MAX: Final = 1000
IDLE_S: Final = 10.0  # after so much silence the connection is probed
REPLY_S: Final = 2.0
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0


class NotificationListener:
    """Subscribes to the channel of a key prefix and passes each text, such as `poll East`, on.

    Example:
        listener = NotificationListener(connection.client, "adm")
        stop_listening = listener.listen(print)
        await listener.start()

    Args:
        client: decodes no responses; one of its connections stays in use.
        key_prefix: the `redis.key_prefix` of the configuration.
    """

    def __init__(self, client: Client, key_prefix: str) -> None:
        self.channel = keys.notification_channel(key_prefix)
        self._client = client
        self._listeners: dict[object, Callable[[str], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self._was_subscribed = False

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback` with the text of every notification; it must not block.

        Returns: a function that removes it. Raises: RuntimeError: more than LISTENERS_MAX.
        """
        if len(self._listeners) >= LISTENERS_MAX:
            raise RuntimeError(f"more than {LISTENERS_MAX} listeners")
        key = object()
        self._listeners[key] = callback

        def stop_listening() -> None:
            self._listeners.pop(key, None)

        return stop_listening

    async def start(self) -> None:
        """Begin to listen. Redis need not answer yet: see `subscribed`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="notifications")

    async def stop(self) -> None:
        """Unsubscribe. Safe to call twice."""
        task, self._task = self._task, None
        if task:
            await cancel_and_wait(task)

    async def subscribed(self) -> None:
        """Wait until the subscription is confirmed."""
        await self._subscribed.wait()

    async def _run(self) -> None:
        backoff = Backoff(min_s=BACKOFF_MIN_S, max_s=BACKOFF_MAX_S)
        while True:
            try:
                await self._receive()
            except Exception as exc:  # any fault: a replica without notifications is worse
                if self._subscribed.is_set() or backoff.is_first:
                    log.warning("notifications: not connected, trying again: %s", exc)
                if self._subscribed.is_set():
                    backoff.reset()
            self._subscribed.clear()
            await asyncio.sleep(backoff.next_s())

    async def _receive(self) -> None:
        async with self._client.pubsub() as pubsub:
            await pubsub.subscribe(self.channel)
            while True:
                self._handle(await _read_message(pubsub))

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":  # comes again when the client reconnected by itself
            self._on_subscribed()
        elif message["type"] == "message" and len(message["data"]) <= TEXT_BYTES_MAX:
            self._notify(message["data"].decode(errors="replace"))

    def _on_subscribed(self) -> None:
        self._subscribed.set()
        if self._was_subscribed:
            log.info("notifications: connected again")
            self._notify(NOTIFICATIONS_LOST)
        self._was_subscribed = True

    def _notify(self, text: str) -> None:
        for callback in list(self._listeners.values()):
            try:
                callback(text)
            except Exception:  # the other listeners are notified all the same
                log.exception("notifications: a listener failed on %r", text)


async def _read_message(pubsub: PubSub) -> dict[str, Any]:
    """The next message of any type. Raises: redis TimeoutError: a ping was not answered either."""
    message = await pubsub.get_message(timeout=IDLE_S)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=REPLY_S)
    if message is None:
        raise exceptions.TimeoutError("the server is silent")
    return dict(message)

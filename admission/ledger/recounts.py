"""What a client does for the counts of a zone: it reports failed undos, and ends recounts early."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic_core import from_json

from admission.errors import AdmissionError
from admission.tasks import cancel_and_wait

log = logging.getLogger(__name__)

Reply = dict[str, Any]
Evaluate = Callable[[str, list[dict[str, Any]]], Awaitable[bytes]]

_FAILED: Final = "failed"  # the script could not store that its undo failed


class Recounts:
    """Follows the replies of the script (lua/README.md, *Unit of work* and *Recount*).

    Example:
        recounts = Recounts(client.evaluate)
        refused = await recounts.report_failed_undos("East")
        recounts.read(zone, reply)

    Args:
        evaluate: sends operations to a zone, and returns the reply as JSON.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._failed_undos: Counter[str] = Counter()
        self._doubtful: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def report_failed_undos(self, zone: str) -> Reply | None:
        """Report undos to a zone that does not know of them, before anything else is sent.

        Returns:
            The reply of the script if it refused, else None: the zone recounts.

        Raises:
            Unavailable: Redis does not answer, or refuses the call.
        """
        if zone not in self._doubtful:
            return None
        failed = self._failed_undos[zone]
        op: dict[str, Any] = {"op": "recount"} | ({"undo_failed": failed} if failed else {})
        reply = dict(from_json(await self._evaluate(zone, [op])))
        if reply.get("error") == "no_policy":  # nothing is granted without one
            return None
        if "error" in reply:
            return reply
        self._failed_undos[zone] -= failed
        if not self._failed_undos[zone]:
            self._doubtful.discard(zone)
        return None

    def doubt(self, zone: str) -> None:
        """Ask for a recount before the next call: the script itself failed."""
        self._doubtful.add(zone)

    def read(self, zone: str, reply: Reply) -> None:
        """Note what a reply says of its undo and of a recount."""
        if undo := reply.get("undo"):
            log.error("zone %s: a call and its undo failed; the zone recovers and recounts", zone)
            if undo == _FAILED:
                self._failed_undos[zone] += 1
                self._doubtful.add(zone)
        if reply.get("recount") and zone not in self._running:
            task = asyncio.create_task(self._finish(zone), name=f"recount {zone}")
            self._running[zone] = task
            task.add_done_callback(lambda _: self._running.pop(zone, None))

    async def _finish(self, zone: str) -> None:
        """Send calls until nothing waits for the recount; each of them runs a slice."""
        is_running = True
        try:
            while is_running:
                reply = from_json(await self._evaluate(zone, [{"op": "time"}]))
                is_running = bool(reply.get("recount"))
        except AdmissionError:  # the next reply of the zone begins anew
            log.debug("zone %s: the recount waits for the next call", zone, exc_info=True)

    async def close(self) -> None:
        """Stop sending calls."""
        await cancel_and_wait(*self._running.values())

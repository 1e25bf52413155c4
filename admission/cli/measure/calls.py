"""Test calls on Experience Portal, one at a time, watched through QueryResources.

Nothing here is quick about giving up: a call that was launched is hung up, whatever happens.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from admission.cli.measure.trace import Disturbed, Seen, Trace
from admission.client.portal.launch_fields import (
    LaunchOptions,
    Operation,
    Place,
    launch_fields,
    timeout_s_of,
)
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.policy.zone import ZonePolicy
from admission.errors import SourceError
from admission.sources.experience_portal.soap_client import SoapClient
from admission.sources.experience_portal.source import ExperiencePortalSource

MARGIN_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to measure.

    Args:
        zone: the platform's name of it; empty: its default zone.
        channel: whose ports are counted, and taken.
        operation: `LaunchCCXML`, or `LaunchVXML`, which tells when it is connected.
        to, application, options: of each launch.
        hangup_event: ends the call by SendCCXMLEvent; empty: it ends by itself.
        look_ms: between the starts of two QueryResources.
        quiet_s: so long a count must not change to be believed.
        patience_s: for a count to change, or to be quiet.
    """

    zone: str
    channel: str
    operation: Operation
    to: str
    application: str
    options: LaunchOptions
    hangup_event: str = ""
    look_ms: int = 50
    quiet_s: float = 1.0
    patience_s: float = 120.0


class Bench:
    """One platform, one plan.

    Args: settings: of the source. plan: how to measure.

    Raises:
        ConfigError, ValueError: with these no call can be made.
    """

    def __init__(self, settings: ExperiencePortalSettings, plan: Plan) -> None:
        self._plan = plan
        place = Place(
            channel=plan.channel, zone_id=plan.zone, report_url=None, sip_hint="parameters"
        )
        self._fields = launch_fields(plan.operation, place, plan.to, plan.application, plan.options)
        self._source = ExperiencePortalSource("measure", settings)
        self._policy = ZonePolicy(source="push", source_zone=plan.zone, channels=(plan.channel,))
        self._soap = SoapClient(settings)
        self._every_s = max(plan.look_ms, settings.min_interval_ms) / 1000
        self._next_look = self._answered_at = 0.0

    async def close(self) -> None:
        """Let go of the platform."""
        await self._source.close()
        await self._soap.close()

    async def look(self) -> Seen:
        """Ask for the count, no sooner than is allowed. Raises SourceError."""
        await asyncio.sleep(max(0.0, self._next_look - time.monotonic()))
        sent_at = time.monotonic()
        self._next_look = sent_at + self._every_s
        snapshot = await self._source.query("", self._policy)
        unused = snapshot.groups[0].unused[f"channel:{self._plan.channel}"]
        return Seen(sent_at, time.monotonic(), unused)

    async def call(self) -> Trace:
        """One test call.

        Raises:
            Disturbed: the zone is not quiet, so nothing can be measured.
            SourceError: the platform did not launch it, or does not answer.
        """
        base = (await self._until_quiet(lambda _: True))[-1].unused
        launched_at = time.monotonic()
        async with self._launched() as launch:
            up = await self._until_quiet(lambda seen: seen.unused < base, launch)
            session = await launch
            answered_at = self._answered_at
            hung_up_at = await self._hang_up(session)
        after = await self._until_quiet(lambda seen: seen.unused >= base)
        connected = self._plan.operation == "LaunchVXML"
        return Trace(
            base=base,
            launched_at=launched_at,
            connected_at=answered_at if connected else None,
            hung_up_at=hung_up_at,
            up=up,
            after=after,
        )

    async def _until_quiet(
        self, wanted: Callable[[Seen], bool], meanwhile: asyncio.Task[str] | None = None
    ) -> list[Seen]:
        """Look until the count is as wanted and has not changed for a while."""
        seen: list[Seen] = []
        until = time.monotonic() + self._plan.patience_s
        while not _is_quiet(seen, wanted, self._plan.quiet_s):
            if meanwhile is not None and meanwhile.done():
                meanwhile.result()  # if the launch failed there is nothing to wait for
            if time.monotonic() > until:
                raise Disturbed(f"the count was not as expected for {self._plan.patience_s:.0f} s")
            seen.append(await self.look())
        return seen

    @asynccontextmanager
    async def _launched(self) -> AsyncIterator[asyncio.Task[str]]:
        """A launch under way; whoever leaves early leaves no call behind."""
        launch = asyncio.create_task(self._launch())
        try:
            yield launch
        except BaseException:
            await self._give_up(launch)
            raise

    async def _launch(self) -> str:
        wait_s = timeout_s_of(self._plan.operation, self._plan.options) + MARGIN_S
        answer = await self._soap.call(self._plan.operation, self._fields, timeout_ms=1000 * wait_s)
        self._answered_at = time.monotonic()
        return answer.get("sessionID_returned", "")

    async def _hang_up(self, session: str) -> float | None:
        """When it was done, None when the call is left to end by itself. Raises SourceError."""
        if not self._plan.hangup_event:
            return None
        fields = {"sessionID": session, "eventName": self._plan.hangup_event, "parameters": ""}
        await self._soap.call("SendCCXMLEvent", fields)
        return time.monotonic()

    async def _give_up(self, launch: asyncio.Task[str]) -> None:
        if launch.done() and not launch.cancelled() and launch.exception() is None:
            with suppress(SourceError):
                await self._hang_up(launch.result())
        launch.cancel()
        with suppress(SourceError, asyncio.CancelledError):
            await launch


def _is_quiet(seen: list[Seen], wanted: Callable[[Seen], bool], quiet_s: float) -> bool:
    """The newest counts, for so long, are equal and as wanted."""
    if not seen or not wanted(seen[-1]):
        return False
    since = seen[-1].arrived_at
    for one in reversed(seen):
        if one.unused != seen[-1].unused:
            break
        since = one.sent_at
    return seen[-1].arrived_at - since >= quiet_s

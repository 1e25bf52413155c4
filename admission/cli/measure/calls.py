"""Test calls on Experience Portal, one at a time, observed through QueryResources.

A call that was launched is hung up whatever happens, also after an error or Ctrl-C.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from admission.cli.measure.trace import Count, InconclusiveCall, Trace
from admission.client.portal.launch_fields import (
    LaunchOptions,
    Operation,
    Place,
    choose_timeout_s,
    launch_fields,
)
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.domain.policy import ZonePolicy
from admission.errors import SourceError
from admission.sources.experience_portal import ExperiencePortalSource, SoapClient

MARGIN_S: Final = 10  # beyond the time-out of the platform, before the request is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to measure.

    Args:
        zone: as the platform names it; empty: the default zone of the platform.
        channel: the channel of the calls, whose ports are counted.
        operation: `LaunchCCXML`, or `LaunchVXML`, whose answer shows that the call is connected.
        to, application, options: of each launch.
        hangup_event: sent by SendCCXMLEvent to end a call; empty: a call ends by itself.
        poll_interval_ms: between the starts of two QueryResources.
        settle_s: a count is final when it has not changed for this time.
        patience_s: the longest time to wait for a final count.

    Example:
        `Plan(zone="East", channel="sip", operation="LaunchCCXML", to="sip:test@example.com",
        application="outcall", options={"timeout_s": 60})`
    """

    zone: str
    channel: str
    operation: Operation
    to: str
    application: str
    options: LaunchOptions
    hangup_event: str = ""
    poll_interval_ms: int = 50
    settle_s: float = 1.0
    patience_s: float = 120.0


class CallRunner:
    """Places test calls on one platform.

    Args:
        settings: of the source.
        plan: how to measure.

    Raises:
        ConfigError, ValueError: no call can be placed with these settings.

    Example:
        `trace = await CallRunner(settings, plan).place_call()`
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
        self._interval_s = max(plan.poll_interval_ms, settings.min_interval_ms) / 1000
        self._next_query_at = self._answered_at = 0.0

    async def close(self) -> None:
        """Close the connections to the platform."""
        await self._source.close()
        await self._soap.close()

    async def query_unused(self) -> Count:
        """Query the count of unused ports, at the permitted rate. Raises SourceError."""
        await asyncio.sleep(max(0.0, self._next_query_at - time.monotonic()))
        sent_at = time.monotonic()
        self._next_query_at = sent_at + self._interval_s
        snapshot = await self._source.query("", self._policy)
        unused = snapshot.groups[0].unused[f"channel:{self._plan.channel}"]
        return Count(sent_at, time.monotonic(), unused)

    async def place_call(self) -> Trace:
        """Place one test call and return what was observed.

        Raises:
            InconclusiveCall: the counts of the zone keep changing.
            SourceError: the platform did not launch the call, or does not answer.
        """
        base = (await self._poll_until_settled(lambda _: True))[-1].unused
        launched_at = time.monotonic()
        async with self._launch_in_background() as launch:
            up = await self._poll_until_settled(lambda count: count.unused < base, launch)
            session = await launch
            answered_at = self._answered_at
            hung_up_at = await self._hang_up(session)
        after = await self._poll_until_settled(lambda count: count.unused >= base)
        connected = self._plan.operation == "LaunchVXML"
        return Trace(
            base=base,
            launched_at=launched_at,
            connected_at=answered_at if connected else None,
            hung_up_at=hung_up_at,
            up=up,
            after=after,
        )

    async def _poll_until_settled(
        self, is_wanted: Callable[[Count], bool], meanwhile: asyncio.Task[str] | None = None
    ) -> list[Count]:
        """Poll until the count is as wanted and has not changed for `settle_s`."""
        counts: list[Count] = []
        until = time.monotonic() + self._plan.patience_s
        while not _is_settled(counts, is_wanted, self._plan.settle_s):
            if meanwhile is not None and meanwhile.done():
                meanwhile.result()  # a failed launch raises: no count will change
            if time.monotonic() > until:
                patience_s = self._plan.patience_s
                raise InconclusiveCall(f"the count was not as expected for {patience_s:.0f} s")
            counts.append(await self.query_unused())
        return counts

    @asynccontextmanager
    async def _launch_in_background(self) -> AsyncIterator[asyncio.Task[str]]:
        """Launch a call; when the block is left by an exception, the call is hung up."""
        launch = asyncio.create_task(self._launch())
        try:
            yield launch
        except BaseException:
            await self._give_up(launch)
            raise

    async def _launch(self) -> str:
        wait_s = choose_timeout_s(self._plan.operation, self._plan.options) + MARGIN_S
        answer = await self._soap.call(self._plan.operation, self._fields, timeout_ms=1000 * wait_s)
        self._answered_at = time.monotonic()
        return answer.get("sessionID_returned", "")

    async def _hang_up(self, session: str) -> float | None:
        """Return when the call was hung up; None: it ends by itself. Raises SourceError."""
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


def _is_settled(counts: list[Count], is_wanted: Callable[[Count], bool], settle_s: float) -> bool:
    """Return whether the counts of the last `settle_s` are equal and as wanted."""
    if not counts or not is_wanted(counts[-1]):
        return False
    since = counts[-1].arrived_at
    for count in reversed(counts):
        if count.unused != counts[-1].unused:
            break
        since = count.sent_at
    return counts[-1].arrived_at - since >= settle_s

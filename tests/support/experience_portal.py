"""Small platforms whose every delay is known, and clients for them."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import aiohttp

from admission.sim.experience_portal.app import serve_portal
from admission.sim.experience_portal.config import PortalSettings
from admission.sim.experience_portal.contract import CURRENT_PATH, NAMESPACE, OPERATIONS
from admission.sim.experience_portal.platform import Portal
from admission.sim.experience_portal.values import (
    ForeignUse,
    MppSettings,
    SystemSettings,
    ZoneSettings,
)
from admission.sim.values import CallEvent, CallTiming, Delay

PREPARE_MS, RING_MS, TALK_MS = 100, 1_000, 5_000
BASIC = "Basic " + base64.b64encode(b"dialer:dialer").decode()


def exactly(ms: int) -> Delay:
    return Delay(low_ms=ms, high_ms=ms)


def timing(**changes: Any) -> CallTiming:
    """Every call is answered after a second and talks for five."""
    known = {
        "prepare": exactly(PREPARE_MS),
        "answer_after": exactly(RING_MS),
        "busy_after": exactly(500),
        "talk": exactly(TALK_MS),
        "answered": 1.0,
        "busy": 0.0,
        "ring_at_most_ms": 25_000,
    }
    return CallTiming(**{**known, **changes})


def system(
    mpps: Mapping[str, Mapping[str, int]] | None = None,
    *,
    foreign: tuple[ForeignUse, ...] = (),
    calls: CallTiming | None = None,
    **changes: Any,
) -> SystemSettings:
    """One zone East; by default one MPP with two SIP ports."""
    servers = mpps or {"mpp1": {"sip": 2}}
    zone = ZoneSettings(
        name="East",
        mpps=tuple(MppSettings(name=name, ports=ports) for name, ports in servers.items()),
        foreign=foreign,
    )
    return SystemSettings(zones=(zone,), timing=calls or timing(), **{"lag_ms": 0, **changes})


class RecordedPortal:
    """A portal that records its events."""

    def __init__(self, settings: SystemSettings, seed: int = 0) -> None:
        self.events: list[CallEvent] = []
        self.portal = Portal(settings, seed=seed, listener=self.events.append)

    def log(self) -> list[tuple[int, str, str | None]]:
        return [(e.at, e.step.value, e.outcome and e.outcome.value) for e in self.events]

    def unused_sip(self) -> int:
        return self.portal.query("East").unused_sip


def quick(**changes: Any) -> PortalSettings:
    """A platform on the wire whose calls connect at once and talk until they are hung up."""
    calls = timing(prepare=exactly(5), answer_after=exactly(5), talk=exactly(600_000))
    known = {"system": system({"mpp1": {"sip": 2, "h323": 1}}, calls=calls)}
    return PortalSettings(**{**known, **changes})


def envelope(operation: str, **fields: str | int) -> bytes:
    # In the order of the WSDL, which a strict platform demands; others last.
    order = list(OPERATIONS[operation].request) if operation in OPERATIONS else []
    known = {name: fields[name] for name in order if name in fields}
    inner = "".join(f"<v:{name}>{value}</v:{name}>" for name, value in (known | fields).items())
    return (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f'<v:{operation}Request xmlns:v="{NAMESPACE}">{inner}</v:{operation}Request>'
        "</e:Body></e:Envelope>"
    ).encode()


class Caller:
    """Posts envelopes to one simulator."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def soap(
        self, operation: str, *, path: str = CURRENT_PATH, **fields: str | int
    ) -> tuple[int, str]:
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": '" "',
            "Authorization": BASIC,
        }
        body = envelope(operation, **fields)
        async with self.session.post(self.url + path, data=body, headers=headers) as answer:
            return answer.status, (await answer.read()).decode()

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, self.url + path, json=body) as answer:
            result = await answer.json()
            assert answer.status == 200, result
            return result


class Calling(Protocol):
    def __call__(
        self, settings: PortalSettings | None = None
    ) -> AbstractAsyncContextManager[Caller]: ...


@asynccontextmanager
async def calling_portal(settings: PortalSettings | None = None) -> AsyncIterator[Caller]:
    async with (
        serve_portal(settings or quick()) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
    ):
        yield Caller(session, url)

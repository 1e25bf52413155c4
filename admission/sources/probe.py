"""Asks each source of each zone once, and says what came, or why not and what to do next."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from admission.config import Settings
from admission.domain import Snapshot
from admission.domain.policy import ZonePolicy
from admission.errors import SourceError
from admission.sources.authentication import CredentialsRefused
from admission.sources.base import Source, is_polled
from admission.sources.experience_portal import ExperiencePortalSource, SoapFault
from admission.sources.http_json import HttpJsonSource
from admission.sources.huawei.agent_gateway import HuaweiAgentGatewaySource
from admission.sources.huawei.cms import OPERATION as CMS_OPERATION
from admission.sources.registry import build_source

# Part of an error -> what to do next. The first that matches counts.
_STEPS: Final[Mapping[str, str]] = {
    "certificate is not that of tls_fingerprint": "compare it with the platform's administrator, "
    "then set tls_fingerprint to it",
    "certificate is not trusted": "set ca_file to the PEM file of the platform's authority; for a "
    "self-signed certificate tls_fingerprint",
    "TLS could not be agreed on": "check that url is that of TLS; an old appliance may need "
    'tls_min_version = "1.0", or want a client_cert',
    "name is not known": "check the host in url, and the DNS of this machine",
    "cannot connect": "check host and port in url, and the firewalls on the way",
    "no answer within": "check that the platform is up; a slow one needs a larger timeout_ms",
    "permission (403)": "give the user the right that docs/platforms names",
    "(404)": "check the path in url",
    "HTML": "check the path in url: it is that of a page, or of a login",
    "not XML": "check the path in url, and soap_version",
    "Unexpected subelement": "admission probe FILE reads the names and the order from the WSDL",
    "gave ": "admission probe FILE shows what each expression gives",
    "selected ": "admission probe FILE shows what each expression gives",
    "source_zone": "set source_zone in the zone's table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of one question.

    Args:
        zone, source: which were asked.
        ok: whether there are counts.
        text: what came, or why not; one line.
        next_step: what to do; empty: nothing.
        details: what each expression gave, and the settings that the WSDL asks for; a line each.
    """

    zone: str
    source: str
    ok: bool
    text: str
    next_step: str = ""
    details: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "zone": self.zone,
            "source": self.source,
            "ok": self.ok,
            "text": self.text,
            "next_step": self.next_step,
            "details": list(self.details),
        }


async def probe(settings: Settings, *, with_details: bool) -> list[ProbeResult]:
    """Ask all sources, one after the other.

    Args:
        settings: of the whole file.
        with_details: also what each expression gave, and what a portal's WSDL says.

    Raises:
        ConfigError: a source cannot work.
    """
    sources = {name: build_source(name, one) for name, one in settings.sources.items()}
    try:
        return [one async for one in _probe_zones(settings, sources, with_details)]
    finally:
        await asyncio.gather(*(source.close() for source in sources.values()))


async def _probe_zones(
    settings: Settings, sources: Mapping[str, Source], with_details: bool
) -> AsyncIterator[ProbeResult]:
    described: set[str] = set()
    for zone, policy in settings.zones.items():
        for name in filter(is_polled, policy.source_names):
            source = sources[name]
            result = await _probe_zone(zone, policy, source)
            details = list(await _describe(source, policy)) if with_details else []
            if with_details and name not in described:
                described.add(name)
                details += [one async for one in _describe_wsdl(source)]
            yield ProbeResult(
                zone=zone,
                source=name,
                ok=result.ok,
                text=result.text,
                next_step=result.next_step,
                details=tuple(details),
            )


async def _probe_zone(zone: str, policy: ZonePolicy, source: Source) -> ProbeResult:
    asked = f"{_name_question(source)}, zone {zone}"
    if isinstance(source, HuaweiAgentGatewaySource):
        text = f"{asked}: not asked, since that would sign agents in"
        return ProbeResult(zone=zone, source=source.name, ok=True, text=text)
    began_s = time.monotonic()
    try:
        snapshot = await source.query(zone, policy)
    except SourceError as error:
        step = suggest_step(error)
        text = f"{asked}: {error.detail}"
        return ProbeResult(zone=zone, source=source.name, ok=False, text=text, next_step=step)
    ms = round(1000 * (time.monotonic() - began_s))
    text = ", ".join([f"{asked}: {'; '.join(_describe_groups(snapshot))}", f"{ms} ms"])
    return ProbeResult(zone=zone, source=source.name, ok=True, text=text)


def suggest_step(error: SourceError) -> str:
    """What an operator does next about an error of a source."""
    if isinstance(error, CredentialsRefused):
        return "correct the credentials before the next try: accounts get locked"
    found = next((step for part, step in _STEPS.items() if part in error.detail), "")
    if not found and isinstance(error, SoapFault):
        return "compare the settings with the WSDL: admission probe FILE"
    return found or "see the platform's page in docs/platforms"


def _name_question(source: Source) -> str:
    if isinstance(source, ExperiencePortalSource):
        return "QueryResources"
    if isinstance(source, HttpJsonSource):
        return f"{source.settings.method} {source.settings.place}"
    return "callnums" if isinstance(source, HuaweiAgentGatewaySource) else CMS_OPERATION


def _describe_groups(snapshot: Snapshot) -> Iterator[str]:
    for group in snapshot.groups:
        unused = ", ".join(f"{_name_pool(pool)} {n} unused" for pool, n in group.unused.items())
        yield f"{group.total} ports, {unused}"
    for pool in snapshot.absent:
        yield f"{_name_pool(pool)} not available"


def _name_pool(pool: str) -> str:
    kind, _, name = pool.partition(":")
    return name.upper() if kind == "channel" else pool


async def _describe(source: Source, policy: ZonePolicy) -> tuple[str, ...]:
    if not isinstance(source, HttpJsonSource):
        return ()
    try:
        evaluation = await source.evaluate(policy)
    except SourceError:
        return ()  # the result says it
    lines = [
        f"{one.place} = {one.expression}  ->  {one.shown or 'nothing'}"
        + (f"   ({one.error})" if one.error else "")
        for one in evaluation.yielded
    ]
    return (*lines, *evaluation.problems)


async def _describe_wsdl(source: Source) -> AsyncIterator[str]:
    """The settings that the portal's WSDL asks for, as lines for the file."""
    if not isinstance(source, ExperiencePortalSource):
        return
    try:
        differences = await source.find_wsdl_differences()
    except SourceError as error:
        yield f"its WSDL was not read: {error.detail}"
        return
    if not differences:
        yield "its WSDL asks for what the settings say"
        return
    yield f"its WSDL asks for these settings in [sources.{source.name}]:"
    for key, value in differences.items():
        yield f"{key} = {json.dumps(value)}"

"""Huawei CC-CMS as a source: licence usage of one call centre, one total for each channel.

A channel's room is what its licence allows minus the current calls. 4294967295 is minus one in 32
bits and stands for "not available", in either number: such a channel has no snapshot, and policy
must give its capacity. Source: Huawei's page "Querying the Current License Usage in the System".
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from admission.config.sources.huawei import HuaweiCmsSettings
from admission.domain.snapshots import Snapshot, SnapshotGroup
from admission.errors import SourceError
from admission.sources.base import ANY_ZONE, ConfiguredSource, PolledZone, sanitize_line
from admission.sources.huawei.json_client import JsonClient, NotAuthenticated, Reply
from admission.sources.huawei.licence import Licence, read_licence
from admission.sources.huawei.signature import authorization, canonical_request, timestamp

# channel -> field of what its licence allows, and of what is in use
COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "voice": ("licenseMaxVoiceCallNum", "voiceCallNum"),
    "ivr": ("licenseMaxIvrCallNum", "ivrCallNum"),
    "web": ("licenseMaxWebCallNum", "webCallNum"),
}
# Shown in the zone's status only: no call takes one of these.
SHOWN: Final[Mapping[str, str]] = {
    "agents_signed_in": "loginAgentNum",
    "agents_licensed": "licenseMaxAgentNum",
    "vdns": "vdnNum",
    "vdns_licensed": "licenseMaxVdnNum",
}
NOT_AVAILABLE: Final = 2**32 - 1
COUNT_END: Final = 2**31  # no count is as large: the ledger refuses it
GOOD: Final = "0100000"
GOOD_OLD: Final = "0"  # of `result`, all there is in versions up to 8.13
CODES: Final[Mapping[str, str]] = {
    "0100001": "it failed there",
    "0100002": "a parameter is wrong: check source_zone, the ccId",
    "0100003": "it needs a newer CTI",
    "0100999": "unknown error there",
    "0101003": "this user has no permission for it",
}
WHAT: Final = "querysystemlicensestatus"
CONTENT_TYPE: Final = "application/json; charset=UTF-8"
CONNECTIONS_MAX: Final = 4
SKEW_TOLD_S: Final = 60  # a smaller difference of clocks cannot be why a signature is refused


class HuaweiCmsSource(ConfiguredSource[HuaweiCmsSettings]):
    """Asks one CC-CMS for licence usage.

    Args:
        name: as the configuration calls it.
        settings: where it is, and who signs.

    Errors: ConfigError for a `ca_file` that cannot be used.
    """

    def __init__(self, name: str, settings: HuaweiCmsSettings) -> None:
        super().__init__(name, settings)
        self._secret = settings.secret_key.get_secret_value()
        self._client = JsonClient(settings, connections_max=CONNECTIONS_MAX)
        self._url = self._client.url(settings.path)

    async def query(
        self, source_zone: str, channels: Sequence[str], zone: PolledZone = ANY_ZONE
    ) -> Snapshot:
        """Ask for the counts of one call centre (`Source.query`).

        Args:
            source_zone: its ccId.
            channels: those of the zone's policy; voice, ivr and web are counted here.
            zone: is not looked at.

        Errors: SourceError.
        """
        listed = [channel for channel in channels if channel in COUNTERS]
        if not listed:
            raise SourceError(f"this platform counts {', '.join(COUNTERS)}: list one of them")
        if not source_zone.isdecimal():
            raise SourceError("source_zone must be the call centre's ccId, a number")
        reply = await self._ask(int(source_zone))
        try:
            return self._snapshot(_licences(reply.body, self._secrets), listed)
        except SourceError as error:
            raise SourceError(f"{WHAT} at {self.settings.place}: {error.detail}") from None

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.close()

    @property
    def _secrets(self) -> Collection[str]:
        return (self._secret,)

    async def _ask(self, cc_id: int) -> Reply:
        body = json.dumps({"ccId": cc_id}, separators=(",", ":")).encode()
        try:
            return await self._client.send(
                "POST",
                self.settings.path,
                what=WHAT,
                headers=self._headers(body),
                body=body,
                secrets=self._secrets,
            )
        except NotAuthenticated as error:
            why = "check access_key and secret_key" + _skew(error.date)
            raise SourceError(f"{error.detail}: {why}") from None

    def _headers(self, body: bytes) -> dict[str, str]:
        """Those that are signed are said here, so that what is sent is what was signed."""
        host = self._url.host_port_subcomponent or ""
        sent = {"host": host, "content-type": CONTENT_TYPE, "content-length": str(len(body))}
        signed = self.settings.signed_headers
        canonical = canonical_request(
            "POST", self._url.raw_path, headers=sent, signed=signed, body=body
        )
        at = timestamp(datetime.now(UTC), self.settings.timestamp_format)
        signature = authorization(self.settings.access_key, self._secret, at, signed, canonical)
        return sent | {"authorization": signature}

    def _snapshot(self, counts: Mapping[str, Any], channels: Sequence[str]) -> Snapshot:
        pairs = {one: [_count(counts, name) for name in COUNTERS[one]] for one in channels}
        absent = [one for one, pair in pairs.items() if NOT_AVAILABLE in pair]
        groups = [_group(one, *pair) for one, pair in pairs.items() if NOT_AVAILABLE not in pair]
        licence = read_licence(counts, warn_days=self.settings.licence_warn_days, now_s=time.time())
        return Snapshot(
            groups=tuple(groups),
            absent=tuple(f"channel:{one}" for one in absent),
            notes=_notes(counts) | licence.notes(),
            warnings=_warnings(licence),
        )


def _group(channel: str, allowed: int, current: int) -> SnapshotGroup:
    """One channel. A licence may have been lowered below its use: then there is no room.

    Numbers that are no counts go on as they are, for the ledger to refuse them.
    """
    free = allowed - current
    if 0 <= allowed < COUNT_END and 0 <= current < COUNT_END:
        free = max(0, free)
    return SnapshotGroup(total=allowed, unused={f"channel:{channel}": free})


def _licences(body: Mapping[str, Any], secrets: Collection[str]) -> Mapping[str, Any]:
    """The counters of an answer, wherever this version has them.

    Errors: SourceError for an answer that says why there are none.
    """
    code = str(body.get("resultCode") or body.get("result", ""))
    described = body.get("resultDesc")
    if code not in (GOOD, GOOD_OLD):
        raise SourceError(_failure(code, described, secrets))
    datas = body.get("resultDatas")
    listed = datas if isinstance(datas, list) else [datas]
    found = [one for one in (described, *listed) if isinstance(one, dict)]
    if not found:
        raise SourceError("the answer has no counters in resultDesc or resultDatas")
    return found[0]


def _failure(code: str, described: object, secrets: Collection[str]) -> str:
    """The platform's code, what it means, and its own words: of an error they are a string."""
    said = [described] if isinstance(described, str) and described.strip() else []
    shown = sanitize_line(code)[:20] or "no resultCode"
    words = ": ".join([*filter(None, [CODES.get(code)]), *said]) or "not a known code"
    for secret in secrets:
        words = words.replace(secret, "***")
    return f"error {shown}: {sanitize_line(words)}"


def _count(counts: Mapping[str, Any], name: str) -> int:
    """A counter: a number, or its digits as a string."""
    value = counts.get(name)
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int):
        raise SourceError(f"{name} is {'missing' if value is None else 'not an integer'}")
    return max(-(2**53), min(value, 2**53))


def _notes(counts: Mapping[str, Any]) -> dict[str, Any]:
    shown = {ours: counts.get(theirs) for ours, theirs in SHOWN.items()}
    return {
        name: value
        for name, value in shown.items()
        if type(value) is int and 0 <= value < COUNT_END
    }


def _warnings(licence: Licence) -> tuple[str, ...]:
    return (licence.warning,) if licence.warning else ()


def _skew(date: str) -> str:
    """What to add when the clocks differ: the signature carries the time."""
    try:
        ahead_s = round(time.time() - parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return ""
    if abs(ahead_s) < SKEW_TOLD_S:
        return ""
    return f", and the clock: here it is {abs(ahead_s)} s {'ahead' if ahead_s > 0 else 'behind'}"

"""Huawei CC-CMS as a source: licence usage of one call centre, one total for each channel.

The unused units of a channel are the calls that its licence allows minus its current calls.
4294967295 is minus one in 32 bits and means "not available", in either number: the channel has no
snapshot then, and policy must give its capacity. Source: Huawei's page "Querying the Current
License Usage in the System".
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from admission.config.secret_refs import read_again
from admission.config.sources.huawei import CC_ID_MAX, HuaweiCmsSettings
from admission.domain import Snapshot, SnapshotGroup
from admission.domain.policy import ZonePolicy
from admission.errors import SourceError
from admission.sources.authentication import CredentialGate, CredentialsRefused
from admission.sources.base import ConfiguredSource
from admission.sources.huawei.json_client import JsonClient, Reply, redact
from admission.sources.huawei.licence import Licence, read_licence
from admission.sources.huawei.signature import (
    build_authorization,
    build_canonical_request,
    format_timestamp,
)

# channel -> field with the calls that its licence allows, field with its current calls
COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "voice": ("licenseMaxVoiceCallNum", "voiceCallNum"),
    "ivr": ("licenseMaxIvrCallNum", "ivrCallNum"),
    "web": ("licenseMaxWebCallNum", "webCallNum"),
}
# Entries of the zone's status; no call occupies them.
STATUS_COUNTERS: Final[Mapping[str, str]] = {
    "agents_signed_in": "loginAgentNum",
    "agents_licensed": "licenseMaxAgentNum",
    "vdns": "vdnNum",
    "vdns_licensed": "licenseMaxVdnNum",
}
NOT_AVAILABLE: Final = 2**32 - 1
COUNT_END: Final = 2**31  # the ledger refuses this number and larger ones
OK_CODE: Final = "0100000"
OK_RESULT: Final = "0"  # in `result`, the only code of versions up to 8.13
CODES: Final[Mapping[str, str]] = {
    "0100001": "it failed there",
    "0100002": "a parameter is wrong: check source_zone, the ccId",
    "0100003": "it needs a newer CTI",
    "0100999": "unknown error there",
    "0101003": "this user has no permission for it",
}
OPERATION: Final = "querysystemlicensestatus"
CONTENT_TYPE: Final = "application/json; charset=UTF-8"
CONNECTIONS_MAX: Final = 4
# Smaller differences of clocks are not the reason for a refused signature.
CLOCK_SKEW_REPORTED_S: Final = 60


class HuaweiCmsSource(ConfiguredSource[HuaweiCmsSettings]):
    """Queries one CC-CMS for licence usage.

    Args:
        name: the X of `[sources.X]`.
        settings: the platform's address and the system user who signs.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Example:
        source = HuaweiCmsSource("cms", settings)
        snapshot = await source.query("Contact-Center", policy)
        await source.close()
    """

    def __init__(self, name: str, settings: HuaweiCmsSettings) -> None:
        super().__init__(name, settings)
        self._gate = CredentialGate()
        self._client = JsonClient(settings, connections_max=CONNECTIONS_MAX)
        self._url = self._client.url(settings.path)

    async def query(self, zone: str, policy: ZonePolicy) -> Snapshot:
        """Query the counts of one call centre (`Source.query`).

        Args:
            zone: not used; `policy.source_zone` is the call centre's ccId.
            policy: of its `channels`, `voice`, `ivr` and `web` are counted.

        Raises:
            SourceError: no usable answer, or the policy cannot be counted by this platform.
        """
        listed = [channel for channel in policy.channels if channel in COUNTERS]
        if not listed:
            raise SourceError(f"this platform counts {', '.join(COUNTERS)}: list one of them")
        reply = await self._request_counters(_read_cc_id(policy.source_zone or ""))
        try:
            return self._read_snapshot(_find_counters(reply.body, self._secrets), listed)
        except SourceError as error:
            raise SourceError(f"{OPERATION} at {self.settings.place}: {error.detail}") from None

    def forget_refusal(self) -> None:
        """Send the credentials with the next query (`RemembersRefusals`)."""
        self._gate.forget()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @property
    def _secret(self) -> str:
        """The secret key; one from a file as the file has it now."""
        return read_again(self.settings.secret_key).get_secret_value()

    @property
    def _secrets(self) -> Collection[str]:
        return (self._secret,)

    async def _request_counters(self, cc_id: int) -> Reply:
        body = json.dumps({"ccId": cc_id}, separators=(",", ":")).encode()
        async with self._gate.attempt(self._secret) as accept:
            try:
                reply = await self._client.send(
                    "POST",
                    self.settings.path,
                    what=OPERATION,
                    headers=self._signed_headers(body),
                    body=body,
                    secrets=self._secrets,
                )
            except CredentialsRefused as error:
                advice = "check access_key and secret_key" + _describe_clock_skew(error.date)
                raise CredentialsRefused(f"{error.detail}: {advice}") from None
            accept()
            return reply

    def _signed_headers(self, body: bytes) -> dict[str, str]:
        """Set every header that is signed explicitly, so that aiohttp sends what was signed."""
        host = self._url.host_port_subcomponent or ""
        headers = {"host": host, "content-type": CONTENT_TYPE, "content-length": str(len(body))}
        signed = self.settings.signed_headers
        canonical_request = build_canonical_request(
            "POST", self._url.raw_path, headers=headers, signed=signed, body=body
        )
        timestamp = format_timestamp(datetime.now(UTC), self.settings.timestamp_format)
        authorization = build_authorization(
            self.settings.access_key, self._secret, timestamp, signed, canonical_request
        )
        return headers | {"authorization": authorization}

    def _read_snapshot(self, counters: Mapping[str, Any], channels: Sequence[str]) -> Snapshot:
        pairs = {one: [_read_count(counters, name) for name in COUNTERS[one]] for one in channels}
        absent = [one for one, pair in pairs.items() if NOT_AVAILABLE in pair]
        groups = [_make_group(one, *pair) for one, pair in pairs.items() if one not in absent]
        licence = read_licence(
            counters, warn_days=self.settings.licence_warn_days, now_s=time.time()
        )
        return Snapshot(
            groups=tuple(groups),
            absent=tuple(f"channel:{one}" for one in absent),
            notes=_status_notes(counters) | licence.notes(),
            warnings=_list_warnings(licence),
        )


def _read_cc_id(source_zone: str) -> int:
    is_number = source_zone.isascii() and source_zone.isdecimal() and len(source_zone) <= 5
    if not is_number or not 1 <= int(source_zone) <= CC_ID_MAX:
        raise SourceError(f"source_zone must be the call centre's ccId, a number up to {CC_ID_MAX}")
    return int(source_zone)


def _make_group(channel: str, allowed: int, current: int) -> SnapshotGroup:
    """One channel. A licence lowered below its use leaves nothing unused.

    Impossible numbers pass unchanged: the ledger refuses and counts them.
    """
    unused = allowed - current
    if 0 <= allowed < COUNT_END and 0 <= current < COUNT_END:
        unused = max(0, unused)
    return SnapshotGroup(total=allowed, unused={f"channel:{channel}": unused})


def _find_counters(body: Mapping[str, Any], secrets: Collection[str]) -> Mapping[str, Any]:
    """The counters of an answer: in resultDesc or in resultDatas, by version.

    Raises:
        SourceError: the answer is an error, or has no counters.
    """
    code = str(body.get("resultCode") or body.get("result", ""))
    description = body.get("resultDesc")
    if code not in (OK_CODE, OK_RESULT):
        raise SourceError(_describe_failure(code, description, secrets))
    datas = body.get("resultDatas")
    listed = datas if isinstance(datas, list) else [datas]
    found = [one for one in (description, *listed) if isinstance(one, dict)]
    if not found:
        raise SourceError("the answer has no counters in resultDesc or resultDatas")
    return found[0]


def _describe_failure(code: str, description: object, secrets: Collection[str]) -> str:
    """The platform's code, its meaning, and the platform's words: a string, in an error."""
    words = [description] if isinstance(description, str) and description.strip() else []
    shown = redact(code, secrets)[:20] or "no resultCode"
    text = ": ".join([*filter(None, [CODES.get(code)]), *words]) or "not a known code"
    return f"error {shown}: {redact(text, secrets)}"


def _read_count(counters: Mapping[str, Any], name: str) -> int:
    """A counter: a number, or its digits as a string."""
    value = counters.get(name)
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int):
        raise SourceError(f"{name} is {'missing' if value is None else 'not an integer'}")
    # Bounded to what a double represents exactly: Lua's numbers are doubles.
    return max(-(2**53), min(value, 2**53))


def _status_notes(counters: Mapping[str, Any]) -> dict[str, Any]:
    notes = {ours: counters.get(theirs) for ours, theirs in STATUS_COUNTERS.items()}
    return {
        name: value
        for name, value in notes.items()
        if type(value) is int and 0 <= value < COUNT_END
    }


def _list_warnings(licence: Licence) -> tuple[str, ...]:
    return (licence.warning,) if licence.warning else ()


def _describe_clock_skew(date: str) -> str:
    """Say that the clocks differ, a reason for a refused signature: it contains the time."""
    try:
        ahead_s = round(time.time() - parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return ""
    if abs(ahead_s) < CLOCK_SKEW_REPORTED_S:
        return ""
    return f", and the clock: here it is {abs(ahead_s)} s {'ahead' if ahead_s > 0 else 'behind'}"

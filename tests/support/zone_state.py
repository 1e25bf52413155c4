"""The state of a zone as Redis stores it: to compare states, to count pools from their records."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import redis

_UNCOUNTED: Final = ("campaign", "mpps", "zone")  # kinds of pools without shares of campaigns
_SAVED: Final = "saved:"
# Every key of a zone but those of the clock of the tests: [[name, type, content]].
_READ: Final = """
local found = {}
for _, name in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind, rest = redis.call('TYPE', name).ok, string.sub(name, #ARGV[1] + 1)
  local content = ''
  if kind == 'hash' then content = redis.call('HGETALL', name) end
  if kind == 'zset' then content = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES') end
  if kind == 'stream' then content = redis.call('XRANGE', name, '-', '+') end
  if kind ~= 'string' then found[#found + 1] = { rest, kind, content } end
end
return found
"""
_COPY: Final = """
for _, name in ipairs(redis.call('KEYS', ARGV[2] .. '*')) do redis.call('DEL', name) end
for _, name in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  redis.call('COPY', name, ARGV[2] .. string.sub(name, #ARGV[1] + 1))
end
"""

Content = dict[str, Any]


class ZoneState:
    """The keys of one zone.

    Args:
        client: answers are bytes.
        keys: from `zone_keys`.
    """

    def __init__(self, client: redis.Redis, keys: Sequence[str]) -> None:
        self._client = client
        self._prefix = keys[0].removesuffix("zone")

    def save(self) -> None:
        """Keep a copy of the zone for `restore`."""
        self._client.eval(_COPY, 0, self._prefix, _SAVED + self._prefix)

    def restore(self) -> None:
        """Make the zone what it was when it was saved."""
        self._client.eval(_COPY, 0, _SAVED + self._prefix, self._prefix)

    def read(self) -> Content:
        """Return every key by its name within the zone: hashes as texts, sorted sets as scores."""
        found: Content = {}
        for name, kind, content in self._client.eval(_READ, 0, self._prefix):
            pairs = dict(zip(content[::2], content[1::2], strict=True)) if kind != b"stream" else {}
            found[name.decode()] = [one[1] for one in content] if kind == b"stream" else pairs
        return found


def live_records(content: Content) -> dict[bytes, list[str]]:
    """Return id -> fields of the reservations that are live or releasing, their pools in full."""
    records = {name: _fields(text) for name, text in content["res"].items() if b" " in text}
    return {name: fields for name, fields in records.items() if fields[3] in "lr"}


def check_counts(content: Content, *, may_lack_requests: bool = False) -> None:
    """Assert that counts, shares, deadlines and requests agree with the records.

    Args:
        content: from `ZoneState.read`.
        may_lack_requests: a request may be lost: its reservations go on without it.
    """
    records = live_records(content)
    pools = [(pool, one[13]) for one in records.values() for pool in one[18:]]
    stored = {name.decode(): _in_use(text) for name, text in content["pools"].items() if name}
    assert Counter(stored) == Counter(pool for pool, _ in pools), "in_use"
    shares = {name.decode(): int(text) for name, text in content["shares"].items() if name}
    contended = (one for one in pools if one[0].partition(":")[0] not in _UNCOUNTED)
    assert Counter(shares) == Counter(" ".join(one) for one in contended), "shares"
    assert content["res"].keys() - {b""} <= content["due"].keys(), "a record without a deadline"
    requests = {
        name.decode(): int(text.split(b" ")[3]) for name, text in content["req"].items() if name
    }
    named = Counter(_request(name, text) for name, text in content["res"].items() if b" " in text)
    del named[""]
    if may_lack_requests:
        named = Counter({name: n for name, n in named.items() if name in requests})
    assert requests == dict(named), "requests"


def check_pending(content: Content, *, lost_until: int = 0) -> None:
    """Assert that each entry which the newest snapshot may not show has its reservation.

    The reverse does not hold: reservations that are older than a pool's feed have no entry.

    Args:
        content: from `ZoneState.read`.
        lost_until: up to this time in ms entries without any record may count.
    """
    records = live_records(content)
    for name, text in content["pools"].items():
        first = json.loads(text or b"{}").get("w0")
        if first is None:
            continue
        pool = name.decode()
        entries = content.get(f"pend:{pool}", {})
        counted = {one: int(score) for one, score in entries.items() if float(score) >= first}
        for one, score in counted.items():
            if one not in content["res"]:
                assert score <= lost_until, f"{one!r} in {pool}"
                continue
            assert pool in records.get(one, ())[18:], f"{one!r} does not occupy {pool}"
            assert score == sum(map(int, records[one][:2])), f"{one!r} in {pool}"


def _request(name: bytes, text: bytes) -> str:
    fields = _fields(text)
    request = f"r-{name.decode()}" if fields[12] == "=" else fields[12]
    return f"{fields[13]}/{request}" if request else ""


def _in_use(text: bytes) -> int:
    return int(json.loads(text)["in_use"])


def _fields(text: bytes) -> list[str]:
    fields = text.decode(errors="replace").split("\n")[0].split(" ")
    campaign, channel, mpp = fields[13:16]
    full = {"c": f"channel:{channel}", "m": f"mpp:{mpp}:{channel}", "k": "mpps"}
    full["n"] = f"campaign:{campaign}"
    return fields[:18] + [full.get(one, one) for one in fields[18:] if one]

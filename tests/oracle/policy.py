"""What the compiled policy of a zone says of a name."""

from fractions import Fraction
from typing import Any

Fields = dict[str, dict[str, Any]]


def kind(pool: str) -> str:
    """The part of a pool's name that says what it is: `channel`, `mpp`, `campaign`, `trunk` …"""
    return pool.partition(":")[0]


def is_named(pool: str) -> bool:
    """Whether the pool is neither built in nor hidden."""
    return pool != "mpps" and kind(pool) not in ("channel", "mpp", "campaign", "zone")


class Policy:
    """Read access to the compiled fields."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.zone = fields["zone"]

    def ms(self, name: str) -> int:
        """One duration of the zone, in ms."""
        return int(self.zone.get(name) or 0)

    def campaign(self, name: str) -> dict[str, Any] | None:
        """A campaign's settings; one that policy does not name may share `campaign:*`."""
        return self.fields.get(f"campaign:{name}", self.fields.get("campaign:*"))

    def named(self, pool: str) -> dict[str, Any] | None:
        """A named pool's settings: its own, or those of its kind."""
        if not is_named(pool):
            return None
        return self.fields.get(pool, self.fields.get(f"{kind(pool)}:*"))

    def is_wildcard(self, pool: str) -> bool:
        """Whether the rules of a pool are those of its kind."""
        is_built_in = pool == "mpps" or kind(pool) in ("channel", "mpp")
        return not is_built_in and pool not in self.fields

    def rules(self, pool: str) -> dict[str, Any]:
        """What policy says of a pool that may have a rate or a breaker; nothing for the others."""
        if pool == "zone":
            return self.zone
        if kind(pool) == "campaign":
            return self.campaign(pool.partition(":")[2]) or {}
        return self.named(pool) or (self.fields.get(pool, {}) if kind(pool) == "mpp" else {})

    def knows(self, pool: str) -> bool:
        """Whether policy has a pool of that name. `mpp:m` is the whole of an MPP."""
        name = pool.partition(":")[2]
        if kind(pool) == "channel":
            return name in self.channels()
        if kind(pool) == "mpp":
            mpp, _, channel = name.partition(":")
            return mpp in self.mpps() and (not channel or channel in self.channels())
        if kind(pool) == "campaign":
            return self.campaign(name) is not None
        return self.named(pool) is not None

    def guarantees(self) -> dict[str, int]:
        """Ports kept free for each campaign that has a guarantee."""
        return {name: int(n) for name, n in (self.fields.get("guarantees") or {}).items()}

    def weight(self, campaign: str) -> Fraction:
        """The part of a campaign in what is contended, exactly as it was written."""
        return Fraction(str((self.campaign(campaign) or {}).get("weight") or 1))

    def priority(self, campaign: str) -> int:
        """The class of a campaign: 0 is first."""
        return int((self.campaign(campaign) or {}).get("priority") or 0)

    def application(self, name: str) -> dict[str, Any] | None:
        """An application's settings."""
        return self.fields.get(f"application:{name}")

    def capacity(self, pool: str) -> int | None:
        """The most that policy allows in a pool, None for no limit."""
        name = pool.partition(":")[2]
        if kind(pool) == "channel":
            return (self.zone.get("capacity") or {}).get(name)
        if kind(pool) == "mpp":
            return int(self.fields.get(pool, {}).get("limit", 0))
        if kind(pool) == "campaign":
            return (self.campaign(name) or {}).get("limit")
        return (self.named(pool) or {}).get("limit")

    def channels(self) -> list[str]:
        """The channels of the zone."""
        return list(self.zone.get("channels") or [])

    def mpps(self) -> list[str]:
        """The MPPs of the zone in policy order."""
        return list(self.zone.get("mpps") or [])

    def fed(self) -> list[str]:
        """The channels whose ceiling comes from snapshots."""
        return list(self.zone.get("fed") or [])

    def source(self) -> str | None:
        """The platform that the snapshots come from."""
        return self.zone.get("source")

    def taken_by(self, channel: str) -> list[str]:
        """The channels that one call of `channel` occupies."""
        return (self.zone.get("takes") or {}).get(channel) or [channel]

    def within(self, name: str, campaign: str, pools: list[str]) -> int:
        """`answer_within` or `max_call` in ms: the smallest that campaign or pools set."""
        settings = [self.campaign(campaign), *(self.named(pool) for pool in pools)]
        stated = [one[name] for one in settings if one is not None and one.get(name) is not None]
        return min(stated, default=self.ms(name))

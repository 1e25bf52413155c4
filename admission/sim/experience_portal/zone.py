"""Zones, media servers and ports of the simulated platform, with a short history of counts."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from admission.sim.experience_portal.values import (
    CHANNELS,
    H323,
    SIP,
    Counts,
    Hunting,
    MppSettings,
    ZoneSettings,
)
from admission.sim.values import CallTiming


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """An outbound or foreign call.

    Args:
        channels: the channels it may take, in order.
        bound: the only MPP that it may use; None: any.
        foreign: name of the stream of a foreign call; empty: outbound.
        mpp, channel: the port that it holds; None: none.
        over: whether it has ended; its port is held until it is released.
    """

    session: str
    zone: "Zone"
    channels: tuple[str, ...]
    timing: CallTiming
    bound: "Mpp | None" = None
    campaign: str = ""
    application: str = ""
    foreign: str = ""
    connect_timeout_ms: int = 0
    mpp: "Mpp | None" = None
    channel: str | None = None
    answered: bool = False
    over: bool = False


class Mpp:
    """A media server: the ports of each channel, and the calls that hold them."""

    __slots__ = ("calls", "free", "name", "ports", "running")

    def __init__(self, settings: MppSettings) -> None:
        self.name = settings.name
        self.ports = {channel: settings.ports.get(channel, 0) for channel in CHANNELS}
        self.free = dict(self.ports)
        self.running = True
        # A dict and not a set: its order, and so a replay, does not depend on addresses.
        self.calls: dict[Call, None] = {}


class Zone:
    """The MPPs of one zone, the history of their counts, and the port time used so far.

    Args:
        settings: its MPPs.
        lag_ms: how far back `counts` may look.
        hunting: the order in which MPPs are tried.
    """

    def __init__(self, settings: ZoneSettings, *, lag_ms: int, hunting: Hunting) -> None:
        self.name = settings.name
        self.mpps = {one.name: Mpp(one) for one in settings.mpps}
        self.total = 0
        self.preparing = 0  # launched, and no port claimed yet
        self.free = dict.fromkeys(CHANNELS, 0)
        self.in_use = {"outbound": 0, "foreign": 0}
        self.port_ms = {"outbound": 0, "foreign": 0, "available": 0}
        self._lag_ms = lag_ms
        self._hunting = hunting
        self._servers = list(self.mpps.values())
        self._turn = 0
        self._since = 0
        self._history: deque[tuple[int, int, int, int]] = deque()
        for mpp in self._servers:
            self._shift_total(mpp, 1)
        self._record_counts(0)

    def counts(self, now: int, random: Random) -> Counts:
        """Return the counts at a random moment of the last `lag_ms`."""
        then = now - int(random.random() * (self._lag_ms + 1))
        newest_first = reversed(self._history)
        _, total, sip, h323 = next(
            (one for one in newest_first if one[0] <= then), self._history[0]
        )
        return Counts(total=total, unused_sip=sip, unused_h323=h323)

    def hunt(self) -> list[Mpp]:
        """Return the running MPPs in the order in which the next call tries them."""
        servers = self._servers
        if self._hunting == "round_robin":
            self._turn = (self._turn + 1) % len(servers)
            servers = servers[self._turn :] + servers[: self._turn]
        elif self._hunting == "most_free":
            servers = sorted(servers, key=lambda mpp: -sum(mpp.free.values()))
        return [mpp for mpp in servers if mpp.running]

    def claim(self, call: Call, servers: Iterable[Mpp], now: int) -> int:
        """Take a port for a call: the first of its channels that any of these running MPPs has
        free.

        Returns:
            The number of MPPs tried, 0 when none had a port.
        """
        for channel in call.channels:
            for hops, mpp in enumerate(servers, start=1):
                if mpp.free[channel] > 0:
                    call.mpp, call.channel = mpp, channel
                    mpp.calls[call] = None
                    self._shift_port(call, mpp, channel, -1, now)
                    return hops
        return 0

    def release(self, call: Call, now: int) -> None:
        """Release the port of a call, if it holds one."""
        mpp, channel = call.mpp, call.channel
        if mpp is not None and channel is not None and call in mpp.calls:
            del mpp.calls[call]
            self._shift_port(call, mpp, channel, 1, now)

    def fail(self, mpp: Mpp, now: int) -> list[Call]:
        """Fail an MPP with its ports. Returns the calls that held one."""
        if not mpp.running:
            return []
        victims = list(mpp.calls)
        for call in victims:
            self.release(call, now)
        self.account(now)
        mpp.running = False
        self._shift_total(mpp, -1)
        self._record_counts(now)
        return victims

    def restore(self, mpp: Mpp, now: int) -> None:
        """Restore a failed MPP with all its ports free."""
        if not mpp.running:
            self.account(now)
            mpp.running = True
            self._shift_total(mpp, 1)
            self._record_counts(now)

    def account(self, now: int) -> None:
        """Add the port time since the last change."""
        passed = now - self._since
        if passed > 0:
            self.port_ms["outbound"] += passed * self.in_use["outbound"]
            self.port_ms["foreign"] += passed * self.in_use["foreign"]
            self.port_ms["available"] += passed * self.total
            self._since = now

    def _shift_port(self, call: Call, mpp: Mpp, channel: str, by: int, now: int) -> None:
        self.account(now)
        mpp.free[channel] += by
        self.free[channel] += by
        self.in_use["foreign" if call.foreign else "outbound"] -= by
        assert 0 <= mpp.free[channel] <= mpp.ports[channel]
        self._record_counts(now)

    def _shift_total(self, mpp: Mpp, sign: int) -> None:
        for channel, ports in mpp.ports.items():
            self.total += sign * ports
            self.free[channel] += sign * ports

    def _record_counts(self, now: int) -> None:
        """Keep the counts of the last `lag_ms`, and the newest older ones."""
        history = self._history
        if history and history[-1][0] == now:
            history.pop()
        history.append((now, self.total, self.free[SIP], self.free[H323]))
        while len(history) > 1 and history[1][0] <= now - self._lag_ms:
            history.popleft()

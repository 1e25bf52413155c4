"""The address of a client, behind proxies that are trusted to report it.

A proxy appends the address of its own client to X-Forwarded-For. So the header is read from the
right: the first address that is no trusted proxy is the client's. What stands left of it was sent
by that client, which may write anything. The header of an untrusted peer is ignored.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from aiohttp import hdrs, web

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_HOPS_MAX: Final = 16
UNKNOWN: Final = "unknown"


class ClientAddresses:
    """Finds the address of the client of a request.

    Args:
        trusted: addresses or networks (CIDR) of the proxies.

    Example:
        ClientAddresses(["10.0.0.0/8"]).of(request)
    """

    def __init__(self, trusted: tuple[str, ...] = ()) -> None:
        self._trusted = tuple(ip_network(one, strict=False) for one in trusted)
        self._is_trusted = lru_cache(maxsize=1024)(self._find_trusted)

    def of(self, request: web.Request) -> str:
        """The client's address, as text."""
        peer = request.remote or UNKNOWN
        if not self._trusted or not self.is_proxy(peer):
            return peer
        return self._read(request.headers.getall(hdrs.X_FORWARDED_FOR, []), peer)

    def is_proxy(self, address: str) -> bool:
        """Is it the address of a trusted proxy?"""
        return bool(self._trusted) and self._is_trusted(address)

    def _read(self, headers: list[str], nearest: str) -> str:
        hops = [hop.strip() for header in headers for hop in header.split(",")]
        for hop in reversed(hops[-_HOPS_MAX:]):
            address = _parse(hop)
            if address is None:  # a proxy of the list passed on what it did not understand
                return nearest
            nearest = str(address)
            if not self.is_proxy(nearest):
                return nearest
        return nearest

    def _find_trusted(self, text: str) -> bool:
        address = _parse(text)
        return address is not None and any(address in network for network in self._trusted)


def _parse(hop: str) -> Address | None:
    """An address, maybe with a port, as some proxies write it."""
    text = hop
    if hop.startswith("["):
        text = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        text = hop.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket of both families reports IPv4 clients as IPv6 addresses.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

"""Places for connections: which connection gives way when there are no more.

The number of connections is bounded by the files that the process may open. Without an order,
clients that connect first and stay silent would lock all others out. So a new connection takes the
place of another one, in this order:

1. the oldest on which no caller has proved a right yet (a valid token, or a genuine link; without
   configured tokens: any request). A client that connects and sends its request at once is not the
   oldest.
2. of the address with the most connections, the oldest that is idle. An address thus keeps what
   others do not need, and no more than they have.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol

_LOOKED_AT_MAX: Final = 1000  # connections, for one that gives way


class Connection(Protocol):
    """A connection, as far as places need it."""

    address: str

    @property
    def is_idle(self) -> bool:
        """Is no request of it being answered?"""

    def close_at_once(self) -> None:
        """Close it without an answer."""


class Places:
    """The open connections of a process.

    Args:
        most: connections at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Dicts, because they keep the order of arrival.
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def enter(self, connection: Connection) -> None:
        """Take a place for a new connection; another one, or this one, may be closed for it."""
        self._strangers[connection] = None
        self._of_address[connection.address] += 1
        if len(self) > self._most:
            gives_way = self._choose() or connection
            self.leave(gives_way)
            gives_way.close_at_once()

    def know(self, connection: Connection) -> None:
        """A caller proved a right on this connection."""
        if connection in self._strangers:
            del self._strangers[connection]
            self._known[connection] = None

    def leave(self, connection: Connection) -> None:
        """The connection is closed. Safe to call again."""
        if connection not in self._strangers and connection not in self._known:
            return
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)
        self._of_address[connection.address] -= 1
        if not self._of_address[connection.address]:
            del self._of_address[connection.address]

    def _choose(self) -> Connection | None:
        """The connection that gives way; None: the newest."""
        if len(self._strangers) > 1:
            return next(iter(self._strangers))
        [(largest, _)] = self._of_address.most_common(1)
        return next((one for one in self._list_oldest() if one.address == largest), None)

    def _list_oldest(self) -> Iterator[Connection]:
        for looked_at, one in enumerate(self._known):
            if looked_at >= _LOOKED_AT_MAX:
                return
            if one.is_idle:
                yield one

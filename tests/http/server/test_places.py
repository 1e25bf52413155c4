"""Places for connections: silent strangers do not lock callers out, nor does an address."""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, field

from admission.domain.types import Role
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.http.server.places import Places
from tests.support.http_server import FakeDecider, serving

MOST = 3
ASK = b"GET /v1/zones/East/time HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\n\r\n"


@dataclass(eq=False)
class FakeConnection:
    address: str
    is_idle: bool = True
    is_closed: bool = field(default=False, init=False)

    def close_at_once(self) -> None:
        self.is_closed = True


def entered(places: Places, *addresses: str, known: bool = False) -> list[FakeConnection]:
    made = [FakeConnection(address) for address in addresses]
    for one in made:
        places.enter(one)
        if known:
            places.know(one)
    return made


def test_the_oldest_stranger_gives_way() -> None:
    places = Places(MOST)
    first, second, third = entered(places, "a", "b", "c")
    places.know(first)
    entered(places, "d")
    assert [one.is_closed for one in (first, second, third)] == [False, True, False]
    assert len(places) == MOST


def test_of_known_callers_the_oldest_idle_of_the_address_with_most_gives_way() -> None:
    places = Places(4)
    known = entered(places, "a", "b", "b", "b", known=True)
    known[1].is_idle = False
    entered(places, "c")
    assert [one.is_closed for one in known] == [False, False, True, False]


def test_a_new_connection_is_closed_while_no_other_is_idle() -> None:
    places = Places(MOST)
    for one in entered(places, "a", "a", "a", known=True):
        one.is_idle = False
    [extra] = entered(places, "b")
    assert extra.is_closed
    assert len(places) == MOST


def test_a_closed_connection_frees_its_place_once() -> None:
    places = Places(MOST)
    first, second, _ = entered(places, "a", "a", "a")
    for _ in range(2):
        places.leave(first)
    places.know(first)  # its last request is answered after it was closed
    entered(places, "a")
    assert not second.is_closed
    assert len(places) == MOST


async def test_idle_connections_of_strangers_do_not_lock_callers_out(decider: FakeDecider) -> None:
    sha256 = hashlib.sha256(b"a").hexdigest()
    credentials = Credentials([Token(name="a", sha256=sha256, role=Role.DIALER)])
    app = create_app(decider, credentials=credentials)
    async with serving(app, connections_max=MOST) as server:

        async def open_one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", server.port)

        strangers = [await open_one() for _ in range(MOST)]
        reader, writer = await open_one()
        writer.write(ASK)
        assert b"200 OK" in await reader.readuntil(b"}")
        more = [await open_one() for _ in range(2 * MOST)]
        with contextlib.suppress(ConnectionError):
            assert await strangers[0][0].read() == b""
        writer.write(ASK)
        assert b"200 OK" in await reader.readuntil(b"}")
        for _, one in [*strangers, *more, (None, writer)]:
            one.close()

"""Ids that cannot be guessed, and ids of reservations that prove who issued them.

    {zone}~{19 characters}[.N]    base64url of 8 random bytes and 6 bytes of their keyed BLAKE2b
    {zone}~{11 characters}[.N]    8 random bytes: of an older version, or beside one

The key is the zone's secret, which all replicas share (docs/decisions/report-url.md). An invented
id fits with a probability of 2^-48. Random bytes are fetched in blocks: a system call for each id
costs too much.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import Enum
from hashlib import blake2b
from typing import Final

from admission.domain.types import COUNT_MAX, SigningKeys

_IDS_PER_BLOCK: Final = 256
_ID_BYTES: Final = 8  # 64 bits
_MAC_BYTES: Final = 6
_PERSON: Final = b"reservation id"  # other uses of the secret have other digests
_UNSIGNED_LENGTH: Final = 11
_SIGNED_LENGTH: Final = 19


class Proof(Enum):
    """What an id says of its origin."""

    ISSUED = "issued"
    """This service made it."""
    UNPROVED = "unproved"
    """It has the form of an older version, which proves nothing."""
    FORGED = "forged"
    """This service made it not."""


class Ids:
    """Generates ids of 64 random bits; each process has its own generator.

    Example: `Ids().new()` returns `"x7Yk2mPq0aY"`.
    """

    def __init__(self) -> None:
        self._unused: list[bytes] = []

    def new(self) -> str:
        """11 URL-safe characters."""
        return urlsafe_b64encode(self._draw())[:-1].decode()

    def new_of_reservation(self, keys: SigningKeys) -> str:
        """The id of a reservation, without its zone; unsigned while an older replica serves it."""
        return make_signed_id(self._draw(), keys.current) if keys.signs_ids else self.new()

    def new_hex(self) -> str:
        """16 hexadecimal digits."""
        return self._draw().hex()

    def _draw(self) -> bytes:
        if not self._unused:
            raw = secrets.token_bytes(_ID_BYTES * _IDS_PER_BLOCK)
            self._unused = [raw[at : at + _ID_BYTES] for at in range(0, len(raw), _ID_BYTES)]
        return self._unused.pop()


def make_signed_id(raw: bytes, key: bytes) -> str:
    """The id of a reservation, without its zone, of 8 random bytes."""
    return urlsafe_b64encode(raw + _sign(raw, key))[:-1].decode()


def prove(reservation_id: str, keys: SigningKeys) -> Proof:
    """What a well-formed id, with or without its zone, says of its origin."""
    word, _, number = reservation_id.rpartition("~")[2].partition(".")
    if len(word) == _UNSIGNED_LENGTH:
        return Proof.UNPROVED
    if len(word) != _SIGNED_LENGTH or (number and not 2 <= int(number) <= COUNT_MAX):
        return Proof.FORGED
    try:
        made = urlsafe_b64decode(word + "=")[:_ID_BYTES]
    except ValueError:
        return Proof.FORGED
    # The whole text is compared: several texts are Base64 of the same bytes.
    fits = [hmac.compare_digest(word, make_signed_id(made, key)) for key in keys.accepted]
    return Proof.ISSUED if any(fits) else Proof.FORGED


def _sign(raw: bytes, key: bytes) -> bytes:
    return blake2b(raw, key=key[:64], digest_size=_MAC_BYTES, person=_PERSON).digest()

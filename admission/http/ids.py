"""Names that nobody guesses, drawn many at once: asking the system for each is dear."""

import secrets
from base64 import urlsafe_b64encode
from typing import Final

_AT_ONCE: Final = 256
_BYTES: Final = 8


class Ids:
    """Makes names of 64 random bits; each process has its own."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def new(self) -> str:
        """11 URL-safe characters."""
        return urlsafe_b64encode(self._draw())[:-1].decode()

    def new_hex(self) -> str:
        """16 hexadecimal digits."""
        return self._draw().hex()

    def _draw(self) -> bytes:
        if not self._drawn:
            raw = secrets.token_bytes(_BYTES * _AT_ONCE)
            self._drawn = [raw[at : at + _BYTES] for at in range(0, len(raw), _BYTES)]
        return self._drawn.pop()

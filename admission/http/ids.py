"""Unguessable ids. Random bytes are fetched in blocks: a system call for each id costs too much."""

import secrets
from base64 import urlsafe_b64encode
from typing import Final

_IDS_PER_BLOCK: Final = 256
_ID_BYTES: Final = 8  # 64 bits


class Ids:
    """Generates ids of 64 random bits; each process has its own generator.

    Example: `Ids().new()` returns `"x7Yk2mPq0aY"`.
    """

    def __init__(self) -> None:
        self._unused: list[bytes] = []

    def new(self) -> str:
        """11 URL-safe characters."""
        return urlsafe_b64encode(self._draw())[:-1].decode()

    def new_hex(self) -> str:
        """16 hexadecimal digits."""
        return self._draw().hex()

    def _draw(self) -> bytes:
        if not self._unused:
            raw = secrets.token_bytes(_ID_BYTES * _IDS_PER_BLOCK)
            self._unused = [raw[at : at + _ID_BYTES] for at in range(0, len(raw), _ID_BYTES)]
        return self._unused.pop()

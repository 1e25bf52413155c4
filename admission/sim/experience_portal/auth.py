"""HTTP Basic and Digest authentication of the simulated platform (RFC 7617, RFC 7616)."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from aiohttp import web

AuthMode: TypeAlias = Literal["none", "basic", "digest"]
DigestAlgorithm: TypeAlias = Literal["MD5", "SHA-256"]

NONCE_LIFE_S: Final = 300
_PAIR: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """Checks credentials.

    Args:
        mode: the scheme that is required.
        user, password: of the only user.
        realm: part of the challenge.
        algorithm: of Digest; RFC 7616 defines both.
    """

    mode: AuthMode
    user: str
    password: str
    realm: str = "Experience Portal"
    algorithm: DigestAlgorithm = "MD5"
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def accepts(self, request: web.Request) -> bool:
        """Whether the request carries the right credentials."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if self.mode == "none":
            return True
        if scheme.lower() != self.mode:
            return False
        return self._basic(rest) if self.mode == "basic" else self._digest(request, rest)

    def challenge(self) -> web.Response:
        """A 401 with the challenge of the required scheme."""
        offer = f'Basic realm="{self.realm}"'
        if self.mode == "digest":
            offer = (
                f'Digest realm="{self.realm}", qop="auth", algorithm={self.algorithm}, '
                f'nonce="{self._nonce(int(time.monotonic()))}"'
            )
        return web.Response(status=401, headers={"WWW-Authenticate": offer})

    def _basic(self, text: str) -> bool:
        try:
            given = base64.b64decode(text, validate=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())

    def _digest(self, request: web.Request, text: str) -> bool:
        parameters = {name: quoted or plain for name, quoted, plain in _PAIR.findall(text)}
        required = ("username", "nonce", "uri", "response", "nc", "cnonce", "qop")
        if any(name not in parameters for name in required) or parameters["qop"] != "auth":
            return False
        if parameters["uri"] != request.raw_path or parameters["username"] != self.user:
            return False
        if not self._is_fresh(parameters["nonce"]):
            return False
        first = self._hash(f"{self.user}:{self.realm}:{self.password}")
        second = self._hash(f"{request.method}:{parameters['uri']}")
        middle = ":".join((parameters["nonce"], parameters["nc"], parameters["cnonce"], "auth"))
        expected = self._hash(f"{first}:{middle}:{second}")
        return hmac.compare_digest(expected.encode(), parameters["response"].encode())

    def _hash(self, text: str) -> str:
        if self.algorithm == "MD5":  # what Axis uses; the simulator protects nothing
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return hashlib.sha256(text.encode()).hexdigest()

    def _nonce(self, second: int) -> str:
        """A nonce without stored state: its time, signed."""
        mark = hmac.new(self._secret, str(second).encode(), "sha256").hexdigest()
        return f"{second}.{mark}"

    def _is_fresh(self, nonce: str) -> bool:
        second = nonce.partition(".")[0]
        if not second.isdecimal() or len(second) > 12:
            return False
        young = 0 <= time.monotonic() - int(second) <= NONCE_LIFE_S
        return young and hmac.compare_digest(self._nonce(int(second)).encode(), nonce.encode())

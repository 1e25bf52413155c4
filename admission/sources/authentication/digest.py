"""Answers a Digest challenge. Pure but for the random client nonce.

Source: RFC 7616, sections 3.3 and 3.4; RFC 2617 for challenges without `qop`. Why not aiohttp's
middleware: docs/decisions/digest-by-hand.md.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from typing import Final

from admission.sources.authentication.challenges import Challenge

# MD5 is what Axis and Tomcat offer; the server chooses, and a stronger one is preferred.
_HASHES: Final[dict[str, Callable[[bytes], str]]] = {
    "sha-256": lambda content: hashlib.sha256(content).hexdigest(),
    "md5": lambda content: hashlib.md5(content, usedforsecurity=False).hexdigest(),
}
_SESSION: Final = "-sess"
_ORDER: Final = ("sha-256-sess", "sha-256", "md5-sess", "md5")  # the strongest first


def choose_challenge(challenges: Iterable[Challenge]) -> Challenge | None:
    """The strongest Digest challenge that this module can answer; of equal ones the first."""
    able = [one for one in challenges if one.scheme == "digest" and _is_answerable(one)]
    return min(able, key=lambda one: _ORDER.index(_algorithm(one)), default=None)


def describe_demands(challenges: Iterable[Challenge]) -> str:
    """The algorithms of the Digest challenges, for an error; empty: there is no such challenge."""
    names = (one.parameters.get("algorithm", "MD5") for one in challenges if one.scheme == "digest")
    return ", ".join(dict.fromkeys(name[:20] for name in names))


class DigestSession:
    """Answers requests with one challenge, until the server sends another.

    Args:
        challenge: of `choose_challenge`.
        username, password: in clear text.
        charset: of both, where the challenge states none.

    Example:
        session = DigestSession(challenge, "outcall", "secret", "utf-8")
        headers["Authorization"] = session.authorize("POST", "/axis/services/AppIntfWS", body)
    """

    def __init__(self, challenge: Challenge, username: str, password: str, charset: str) -> None:
        self._given = challenge.parameters
        self._username, self._password = username, password
        utf8 = self._given.get("charset", "").lower() == "utf-8"
        self._charset = "utf-8" if utf8 else charset
        self._algorithm = _algorithm(challenge)
        self._hash = _HASHES[self._algorithm.removesuffix(_SESSION)]
        self._qop = _choose_qop(challenge)
        self._count = 0

    def authorize(self, method: str, target: str, body: bytes) -> str:
        """The `Authorization` header of one request.

        Args:
            method: of the request.
            target: path and query as they are sent.
            body: of the request.
        """
        self._count += 1
        count, client_nonce = f"{self._count:08x}", secrets.token_hex(8)
        nonce, realm = self._given["nonce"], self._given["realm"]
        first = self._h(f"{self._username}:{realm}:{self._password}")
        if self._algorithm.endswith(_SESSION):
            first = self._h(f"{first}:{nonce}:{client_nonce}")
        second = f"{method}:{target}"
        if self._qop == "auth-int":
            second += ":" + self._hash(body)
        second = self._h(second)
        middle = f"{nonce}:{count}:{client_nonce}:{self._qop}" if self._qop else nonce
        fields = {
            "username": _quote(self._username),
            "realm": _quote(realm),
            "nonce": _quote(nonce),
            "uri": _quote(target),
            "response": _quote(self._h(f"{first}:{middle}:{second}")),
        }
        for name in ("algorithm", "opaque"):
            if name in self._given:
                given = self._given[name]
                fields[name] = given if name == "algorithm" else _quote(given)
        if self._qop:
            fields |= {"qop": self._qop, "nc": count, "cnonce": _quote(client_nonce)}
        # Header values are sent as UTF-8; the server compares the bytes that it hashed.
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())

    def _h(self, text: str) -> str:
        return self._hash(text.encode(self._charset))


def _algorithm(challenge: Challenge) -> str:
    return challenge.parameters.get("algorithm", "MD5").lower()


def _is_answerable(challenge: Challenge) -> bool:
    given = challenge.parameters
    is_complete = bool(given.get("nonce")) and "realm" in given
    readable = all(value.isprintable() and value.isascii() for value in given.values())
    known = _algorithm(challenge) in _ORDER
    return is_complete and readable and known and _choose_qop(challenge) is not None


def _choose_qop(challenge: Challenge) -> str | None:
    """`auth` before `auth-int`; empty: the challenge is of RFC 2617; None: neither is offered."""
    offered = challenge.parameters.get("qop")
    if offered is None:
        return ""
    words = {word.lower() for word in re.split(r"[\s,]+", offered) if word}
    return next((qop for qop in ("auth", "auth-int") if qop in words), None)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""Who calls, and what that caller may reach: bearer tokens, roles, scopes.

Only digests of tokens are known here. Without any token configured there is one anonymous caller
who may all; the server then listens on loopback only.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from admission.errors import ConfigError, Forbidden
from admission.http.problems import Unauthorized

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_NOBODYS: Final = bytes(32)  # no token is known that has this digest


class Role(StrEnum):
    """What a caller is; an operator may all."""

    DIALER = "dialer"
    SOURCE = "source"
    OPERATOR = "operator"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. `campaigns` and `zones` None: all of them."""

    name: str
    role: Role
    campaigns: frozenset[str] | None = None
    zones: frozenset[str] | None = None

    @property
    def scope(self) -> list[str] | None:
        """The campaigns this caller is limited to, as the ledger takes them."""
        return None if self.campaigns is None else sorted(self.campaigns)

    @property
    def by_hand(self) -> str | None:
        """Who this is in the audit: operators work by hand, the others do what they are for."""
        return self.name if self.role is Role.OPERATOR else None

    def may_see_zone(self, zone: str) -> bool:
        """Is this zone within the caller's list?"""
        return self.zones is None or zone in self.zones

    def require_role(self, roles: frozenset[Role]) -> None:
        """Raise `Forbidden` unless the caller has one of these roles."""
        if self.role not in roles and self.role is not Role.OPERATOR:
            raise Forbidden(f"This is not for the role {self.role}.")

    def require_zone(self, zone: str) -> None:
        """Raise `Forbidden` when the zone is not within the caller's list."""
        if not self.may_see_zone(zone):
            raise Forbidden("These credentials do not reach that zone.")

    def require_campaign(self, campaign: str) -> None:
        """Raise `Forbidden` when the campaign is not within the caller's list."""
        if self.campaigns is not None and campaign not in self.campaigns:
            raise Forbidden("These credentials do not reach that campaign.")


ANONYMOUS: Final = Caller(name="anonymous", role=Role.OPERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A configured credential.

    Args:
        sha256: hex digest of the token; the token itself is never stored.
        campaigns: what a dialer is limited to, None: all. Other roles have no campaigns.
        zones: what the caller is limited to, None: all.
        expires_at_s: Unix time in seconds from which the token is refused, None: never.
    """

    name: str
    sha256: str
    role: Role
    campaigns: Sequence[str] | None = None
    zones: Sequence[str] | None = None
    expires_at_s: float | None = None

    def caller(self) -> Caller:
        """The caller that holds this token."""
        listed = self.campaigns if self.role is Role.DIALER else None
        return Caller(
            name=self.name,
            role=self.role,
            campaigns=None if listed is None else frozenset(listed),
            zones=None if self.zones is None else frozenset(self.zones),
        )


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    caller: Caller
    expires_at_s: float | None


class Credentials:
    """All configured tokens; they can be replaced while serving.

    Args:
        tokens: none at all: everybody is `ANONYMOUS`.
        clock: Unix time in seconds, for expiry.
    """

    def __init__(
        self, tokens: Iterable[Token] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._known = _by_digest(tokens)

    @property
    def configured(self) -> bool:
        """Is any token configured, so that callers must show one?"""
        return bool(self._known)

    @property
    def count(self) -> int:
        """How many tokens are configured."""
        return len(self._known)

    def replace(self, tokens: Iterable[Token]) -> None:
        """Take these tokens from now on.

        Raises:
            ConfigError: a digest is malformed, or the last token would go: that would open the
                door to everybody. Nothing changes then.
        """
        known = _by_digest(tokens)
        if self._known and not known:
            raise ConfigError("auth.tokens: the last token cannot be removed while serving")
        self._known = known

    def caller(self, authorization: str | None) -> Caller:
        """Who shows this `Authorization` header; raises `Unauthorized`."""
        if not self._known:
            return ANONYMOUS
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Send the header: Authorization: Bearer <token>.")
        found = self._find(token.strip())
        if found is None:
            raise Unauthorized("This token is not known.")
        if found.expires_at_s is not None and self._clock() >= found.expires_at_s:
            raise Unauthorized("This token has expired.")
        return found.caller

    def _find(self, token: str) -> _Known | None:
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        # Which bucket it falls into says nothing: nobody can choose what a digest is, and the
        # table is salted. What is in the bucket is compared in constant time, a miss as well.
        found = self._known.get(digest)
        is_it = hmac.compare_digest(found.digest if found else _NOBODYS, digest)
        return found if is_it else None


def _by_digest(tokens: Iterable[Token]) -> dict[bytes, _Known]:
    known = map(_known, tokens)
    return {one.digest: one for one in known}


def _known(token: Token) -> _Known:
    if not _DIGEST.fullmatch(token.sha256):
        raise ConfigError(f"auth.tokens: {token.name}: sha256 must be 64 hexadecimal digits")
    return _Known(bytes.fromhex(token.sha256), token.caller(), token.expires_at_s)

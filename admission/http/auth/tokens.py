"""Authentication and authorization: bearer tokens, roles, scopes.

The service stores only digests of tokens. Without any configured token every caller is anonymous
and has all rights; the server then listens on loopback only.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from admission.domain.types import Role
from admission.errors import ConfigError, Forbidden
from admission.http.problems import Unauthorized

SEND_TOKEN: Final = "Send the header: Authorization: Bearer <token>."
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_UNUSED_DIGEST: Final = bytes(32)  # no token with this SHA-256 digest is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller. `campaigns`, `zones` and `pools` None: all of them.

    `pools`: names, or `kind:*`.
    """

    name: str
    role: Role
    campaigns: frozenset[str] | None = None
    zones: frozenset[str] | None = None
    pools: frozenset[str] | None = None

    @property
    def scope(self) -> list[str] | None:
        """The campaigns that this caller is limited to, as the ledger takes them; None: all."""
        return None if self.campaigns is None else sorted(self.campaigns)

    @property
    def audit_name(self) -> str | None:
        """The caller's name in the audit log; None: only changes of operators are logged."""
        return self.name if self.role is Role.OPERATOR else None

    def may_see_zone(self, zone: str) -> bool:
        """Is this zone in the caller's scope?"""
        return self.zones is None or zone in self.zones

    def require_role(self, roles: frozenset[Role]) -> None:
        """Raise `Forbidden` unless the caller has one of these roles."""
        if self.role not in roles and self.role is not Role.OPERATOR:
            raise Forbidden(f"The role {self.role} may not call this.")

    def require_zone(self, zone: str) -> None:
        """Raise `Forbidden` when the zone is not in the caller's scope."""
        if not self.may_see_zone(zone):
            raise Forbidden("These credentials do not reach that zone.")

    def require_pool(self, pool: str) -> None:
        """Raise `Forbidden` when the caller may not push counts of the pool."""
        kind = pool.partition(":")[0]
        if self.pools is not None and pool not in self.pools and f"{kind}:*" not in self.pools:
            raise Forbidden(f"These credentials do not reach the pool {pool}.")

    def require_campaign(self, campaign: str) -> None:
        """Raise `Forbidden` when the campaign is not in the caller's scope."""
        if self.campaigns is not None and campaign not in self.campaigns:
            raise Forbidden("These credentials do not reach that campaign.")


ANONYMOUS: Final = Caller(name="anonymous", role=Role.OPERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A configured credential.

    Args:
        sha256: hex digest of the token; the token itself is not stored.
        campaigns: campaigns of a dialer, None: all. Other roles are not limited by campaign.
        zones: zones of the caller, None: all.
        pools: pools of a source, or `kind:*`; None: all.
        expires_at_s: Unix time in seconds from which the token is refused, None: never.
    """

    name: str
    sha256: str
    role: Role
    campaigns: Sequence[str] | None = None
    zones: Sequence[str] | None = None
    pools: Sequence[str] | None = None
    expires_at_s: float | None = None

    def caller(self) -> Caller:
        """The caller that holds this token."""
        listed = self.campaigns if self.role is Role.DIALER else None
        return Caller(
            name=self.name,
            role=self.role,
            campaigns=None if listed is None else frozenset(listed),
            zones=None if self.zones is None else frozenset(self.zones),
            pools=None if self.pools is None else frozenset(self.pools),
        )


@dataclass(frozen=True, slots=True)
class _KnownToken:
    digest: bytes
    caller: Caller
    expires_at_s: float | None


class Credentials:
    """The configured tokens; they can be replaced while the service runs.

    Args:
        tokens: if there are none, every caller is `ANONYMOUS`.
        clock: Unix time in seconds, for expiry.
    """

    def __init__(
        self, tokens: Iterable[Token] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._known = _index_by_digest(tokens)

    @property
    def configured(self) -> bool:
        """Is any token configured, so that callers must send one?"""
        return bool(self._known)

    @property
    def count(self) -> int:
        """Number of configured tokens."""
        return len(self._known)

    def list_expiries(self) -> dict[str, float]:
        """Name of each token that expires -> when, Unix time in seconds."""
        known = ((one.caller.name, one.expires_at_s) for one in self._known.values())
        return {name: at_s for name, at_s in known if at_s is not None}

    def replace(self, tokens: Iterable[Token]) -> None:
        """Accept these tokens from now on.

        Raises:
            ConfigError: a digest is malformed, or no token would be left, which would grant all
                rights to every caller. Nothing changes then.
        """
        known = _index_by_digest(tokens)
        if self._known and not known:
            raise ConfigError("auth.tokens: the last token cannot be removed while serving")
        self._known = known

    def authenticate(self, authorization: str | None) -> Caller:
        """The caller with this `Authorization` header; raises `Unauthorized`."""
        if not self._known:
            return ANONYMOUS
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized(SEND_TOKEN)
        found = self._find(token.strip())
        if found is None:
            raise Unauthorized("The token is unknown.")
        if found.expires_at_s is not None and self._clock() >= found.expires_at_s:
            raise Unauthorized("The token has expired.")
        return found.caller

    def _find(self, token: str) -> _KnownToken | None:
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        # The look-up leaks no timing: an attacker cannot choose a digest, and Python salts its hash
        # tables. The digest that it finds is compared in constant time, and so is a miss.
        found = self._known.get(digest)
        is_equal = hmac.compare_digest(found.digest if found else _UNUSED_DIGEST, digest)
        return found if is_equal else None


def _index_by_digest(tokens: Iterable[Token]) -> dict[bytes, _KnownToken]:
    known = map(_parse_token, tokens)
    return {one.digest: one for one in known}


def _parse_token(token: Token) -> _KnownToken:
    if not _DIGEST.fullmatch(token.sha256):
        raise ConfigError(f"auth.tokens: {token.name}: sha256 must be 64 hexadecimal digits")
    return _KnownToken(bytes.fromhex(token.sha256), token.caller(), token.expires_at_s)

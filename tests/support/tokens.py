"""Tokens of the API, and the header that carries one."""

import hashlib
from typing import Any

from admission.domain.types import Role
from admission.http.auth.tokens import Token


def token(text: str, role: Role = Role.DIALER, **more: Any) -> Token:
    """A credential whose secret is `text`."""
    return Token(name=text, sha256=hashlib.sha256(text.encode()).hexdigest(), role=role, **more)


def bearer(text: str | None) -> dict[str, str]:
    return {} if text is None else {"Authorization": f"Bearer {text}"}

"""Tokens of the API, and the header that carries one."""

import hashlib
from typing import Any, Final

from admission.domain.types import Role
from admission.http.auth.tokens import Token

# Route -> the roles that may call it, as docs/api.md lists them, beside the operator (all).
# `limited`: a dialer whose token lists campaigns; None: a request without a token.
ROLES: Final[dict[tuple[str, str], set[str | None]]] = {
    ("POST", "/v1/admissions"): {"dialer"},
    ("POST", "/v1/admissions/batch"): {"dialer"},
    ("POST", "/v1/reservations/{id}/launched"): {"dialer"},
    ("POST", "/v1/reservations/{id}/renew"): {"dialer"},
    ("POST", "/v1/reservations/{id}/end"): {"dialer"},
    ("POST", "/v1/reservations/batch"): {"dialer"},
    ("GET", "/v1/reservations/{id}"): {"dialer"},
    ("GET", "/v1/reservations"): {"dialer", "viewer"},
    ("GET", "/v1/zones"): {"viewer"},
    ("GET", "/v1/zones/{zone}"): {"viewer"},
    ("GET", "/v1/zones/{zone}/time"): {"dialer", "source", "viewer"},
    ("PUT", "/v1/zones/{zone}/snapshot"): {"source"},
    ("PUT", "/v1/zones/{zone}/agents/{agent}/guid"): {"source"},
    ("GET", "/v1/events"): {"viewer"},
    ("POST", "/v1/zones/{zone}/pause"): set(),
    ("POST", "/v1/zones/{zone}/resume"): set(),
    ("POST", "/v1/zones/{zone}/pools/{pool}/pause"): set(),
    ("POST", "/v1/zones/{zone}/pools/{pool}/resume"): set(),
    # A dialer only for a campaign that its token lists.
    ("PUT", "/v1/zones/{zone}/pools/{pool}/limit"): {"limited"},
    ("GET", "/v1/zones/{zone}/audit"): set(),
    ("DELETE", "/v1/zones/{zone}/aside"): set(),
    ("POST", "/v1/zones/{zone}/keys"): set(),
    ("GET", "/v1/zones/{zone}/policy"): set(),
    ("PUT", "/v1/zones/{zone}/policy"): set(),
    ("PATCH", "/v1/zones/{zone}/policy"): set(),
    ("POST", "/r/{token}/launched"): {"dialer", "source", "viewer", None},
    ("POST", "/r/{token}/renew"): {"dialer", "source", "viewer", None},
    ("POST", "/r/{token}/end"): {"dialer", "source", "viewer", None},
    ("GET", "/healthz"): {"dialer", "source", "viewer", None},
    ("GET", "/readyz"): {"dialer", "source", "viewer", None},
    ("GET", "/metrics"): {"viewer"},
    ("GET", "/openapi.json"): {"viewer"},
    ("GET", "/docs"): {"viewer"},
    ("GET", "/"): {"viewer"},
    ("GET", "/dashboard/{file}"): {"dialer", "source", "viewer", None},
}


def token(text: str, role: Role = Role.DIALER, **more: Any) -> Token:
    """A credential whose secret is `text`."""
    return Token(name=text, sha256=hashlib.sha256(text.encode()).hexdigest(), role=role, **more)


def bearer(text: str | None) -> dict[str, str]:
    return {} if text is None else {"Authorization": f"Bearer {text}"}

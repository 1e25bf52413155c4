"""The HTTP API and the dashboard. The contract is docs/api.md, made from `routes` and `schemas`."""

from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.http.server.serve import serve_app
from admission.http.server.timeouts import raise_file_limit
from admission.http.server.tls import Certificates

__all__ = [
    "Certificates",
    "Credentials",
    "Token",
    "create_app",
    "raise_file_limit",
    "serve_app",
]

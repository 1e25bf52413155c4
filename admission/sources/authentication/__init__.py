"""How a source authenticates over HTTP, and how slowly it repeats refused credentials."""

from admission.sources.authentication.gate import CredentialGate, CredentialsRefused
from admission.sources.authentication.http_auth import Credentials, HttpAuth

__all__ = [
    "CredentialGate",
    "Credentials",
    "CredentialsRefused",
    "HttpAuth",
]

"""TLS of the service: its certificate, the authority of its clients, and both read again."""

import ssl
from pathlib import Path
from typing import Any

from admission.errors import ConfigError


class Certificates:
    """What the service shows and asks for.

    Args:
        cert, key: PEM files: the chain, and its private key without a pass phrase.
        client_ca: PEM file of the authorities whose clients may connect; None: everybody may.
            It is a gate: tokens still give the roles.

    Attributes:
        context: to listen with; each handshake goes by the files as they were read last.

    Raises:
        ConfigError: a file cannot be used.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self.context = _Newest(ssl.PROTOCOL_TLS_SERVER)
        self.reload()

    def reload(self) -> None:
        """Read the files again; connections from now on see them. Raises as the constructor."""
        self.context.newest = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_pass_phrase)
        except (OSError, ValueError) as fault:  # SSLError is an OSError
            raise ConfigError(f"server.tls_cert, server.tls_key: {_why(fault)}") from None
        if self._client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as fault:
                raise ConfigError(f"server.client_ca: {_why(fault)}") from None
        return context


class _Newest(ssl.SSLContext):
    """Stands for another context, which can be exchanged while somebody listens with this one.

    A context that is in use can be given another certificate, but no authority can be taken out of
    it; and to listen anew would drop who is just coming in.
    """

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """What the event loop asks for at each handshake."""
        return self.newest.wrap_bio(*args, **options)


def _no_pass_phrase() -> str:
    # Else OpenSSL would ask for it on the terminal.
    raise ValueError("the key has a pass phrase; give one without")


def _why(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLError):
        return fault.reason or "not a usable PEM file"
    return getattr(fault, "strerror", None) or str(fault)

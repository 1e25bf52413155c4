"""TLS of the service: its certificate and its client authorities, both reloadable."""

import ssl
from pathlib import Path
from typing import Any

from admission.errors import ConfigError
from admission.http.server.certificate_expiry import read_expiry


class Certificates:
    """The certificate of the service and the authorities of its clients.

    Args:
        cert, key: PEM files: the chain, and its private key without a pass phrase.
        client_ca: PEM file of the authorities whose clients may connect; None: no
            client certificate is needed. Roles come from tokens in any case.

    Attributes:
        context: to listen with; each handshake uses the files as they were read last.
        expires_at_s: until when the certificate is valid, Unix time in seconds; None: not readable.

    Raises:
        ConfigError: a file cannot be used.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self.expires_at_s: float | None = None
        self.context = _ReloadableContext(ssl.PROTOCOL_TLS_SERVER)
        self.reload()

    def reload(self) -> None:
        """Read the files again, for new connections. Raises as the constructor."""
        self.context.current = self._load()
        self.expires_at_s = read_expiry(self._cert)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key, password=_refuse_pass_phrase)
        except (OSError, ValueError) as fault:  # SSLError is an OSError
            raise ConfigError(f"server.tls_cert, server.tls_key: {_describe(fault)}") from None
        if self._client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as fault:
                raise ConfigError(f"server.client_ca: {_describe(fault)}") from None
        return context


class _ReloadableContext(ssl.SSLContext):
    """Delegates to a context that can be replaced while a server listens with this one.

    A context in use can load another certificate, but no authority can be removed from it; and
    listening anew would drop connections that are just being accepted.
    """

    current: ssl.SSLContext

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Called by the event loop at each handshake."""
        return self.current.wrap_bio(*args, **options)


def _refuse_pass_phrase() -> str:
    # Without a callback OpenSSL prompts on the terminal.
    raise ValueError("the key has a pass phrase; give one without")


def _describe(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLError):
        return fault.reason or "not a usable PEM file"
    return getattr(fault, "strerror", None) or str(fault)

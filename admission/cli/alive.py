"""`admission alive`: whether the service of this machine answers, with or without TLS.

The certificate is not verified: it has the name by which others reach the service, and a health
check sends no secret.
"""

import http.client
import ssl
from typing import Final

from admission.config import ServerSettings
from admission.errors import ConfigError, Unavailable

TIMEOUT_S: Final = 3.0
# What a service that wants a certificate of its clients says to one without: it lives.
_WANTS_CERTIFICATE: Final = ("certificate required", "certificate_required", "handshake failure")
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def ask_alive(server: ServerSettings) -> None:
    """Ask `/healthz`. Args: server: address and TLS of the service.

    Raises:
        ConfigError: the port is not fixed.
        Unavailable: nothing answers, or not as a living service does.
    """
    if not server.port:
        raise ConfigError("server.port is 0: the service listens on a port that only it knows")
    host = _ANY_ADDRESS.get(server.host, server.host)
    connection = _connect(host, server.port, with_tls=server.tls_cert is not None)
    try:
        connection.connect()
        if server.client_ca:
            return  # after the handshake it closes a connection without a certificate
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except ssl.SSLError as fault:
        if server.client_ca and any(one in str(fault).lower() for one in _WANTS_CERTIFICATE):
            return
        raise Unavailable(f"{host} port {server.port}: {fault}") from fault
    except (OSError, http.client.HTTPException) as fault:
        raise Unavailable(f"{host} port {server.port}: {fault!r}") from fault
    finally:
        connection.close()
    if status != http.client.OK:
        raise Unavailable(f"{host} port {server.port} answered {status}")


def _connect(host: str, port: int, *, with_tls: bool) -> http.client.HTTPConnection:
    if not with_tls:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)

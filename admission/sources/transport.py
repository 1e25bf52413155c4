"""What every platform's HTTP connection shares: trust, bounds, and the words for what broke."""

import ssl
from typing import Final

import aiohttp

from admission.config.base import SourceSection
from admission.errors import ConfigError, SourceError
from admission.sources.base import sanitize_line

# The largest good answer of any platform has some twenty short fields; a fault may carry a Java
# stack trace.
BODY_BYTES_MAX: Final = 256 * 1024
# Shorter than the 5 s after which common web servers drop an idle connection. Reusing one that is
# being dropped loses the call, and a POST must not be repeated.
KEEP_ALIVE_S: Final = 4.0

# The first that fits counts: a subclass stands before its base.
_TROUBLES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientSSLError, "TLS could not be agreed on"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorError, "cannot connect"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "broke off in the middle of its answer"),
    (aiohttp.ClientOSError, "the connection broke"),
    (aiohttp.ClientConnectionError, "the connection broke"),
    (OSError, "the connection broke"),
)


def build_tls_context(settings: SourceSection) -> ssl.SSLContext | bool:
    """Whom a connection trusts, as aiohttp takes it.

    Raises:
        ConfigError: the `ca_file` cannot be used.
    """
    if not settings.verify_tls:
        return False
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # SSLError is one
        raise ConfigError(f"ca_file {settings.ca_file}: {sanitize_line(str(error))}") from None


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """The body, given up as soon as it is too long.

    Raises:
        SourceError: it is longer than any answer of a platform.
    """
    body = bytearray()
    too_long = (response.content_length or 0) > BODY_BYTES_MAX
    while not too_long and (chunk := await response.content.readany()):
        body += chunk
        too_long = len(body) > BODY_BYTES_MAX
    if too_long:
        response.close()  # do not wait for the rest to be sent
        raise SourceError(f"the answer is longer than {BODY_BYTES_MAX // 1024} KiB")
    return bytes(body)


def describe_error(error: Exception) -> str:
    """What happened to a connection, in the operator's words."""
    words = next((words for kind, words in _TROUBLES if isinstance(error, kind)), None)
    if words is None:
        return f"does not speak proper HTTP ({type(error).__name__})"
    reason = _reason(error)
    return f"{words}: {reason}" if reason else words


def _reason(error: Exception) -> str:
    """Why, as the system says it; never an exception's whole text, which may quote headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", ""))
    return str(getattr(error, "strerror", None) or "")

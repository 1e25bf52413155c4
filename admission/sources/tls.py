"""TLS towards platforms, also those with old versions and certificates of their own making.

Weaker than the default only where a setting says so; each such setting causes a warning
(`SourceSection.warnings`).
"""

import ssl
import warnings
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from admission.config import SourceSection
from admission.errors import ConfigError
from admission.sources.base import sanitize_line

_VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# OpenSSL 3 offers no cipher of TLS 1.0 and 1.1 above this level.
_OLD_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What aiohttp takes for the TLS settings of a source.

    Args:
        fingerprint: for the connector; True: certificates are verified as `context` says.
        request: arguments of each request.
    """

    fingerprint: aiohttp.Fingerprint | bool
    request: dict[str, Any]


def build_tls(settings: SourceSection) -> Tls:
    """Build it.

    Raises:
        ConfigError: a file cannot be used.
    """
    if not settings.url.startswith("https:"):
        return Tls(fingerprint=True, request={})
    request: dict[str, Any] = {"ssl": _build_context(settings)}
    if settings.tls_server_name:
        request["server_hostname"] = settings.tls_server_name
    if not settings.tls_fingerprint:
        return Tls(fingerprint=True, request=request)
    digest = bytes.fromhex(settings.tls_fingerprint.replace(":", ""))
    return Tls(fingerprint=aiohttp.Fingerprint(digest), request=request)


def _build_context(settings: SourceSection) -> ssl.SSLContext:
    context = _load_authorities(settings)
    if not settings.verify_tls or settings.tls_fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        # Python warns of the old versions; so does this service, where the operator reads it.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[settings.tls_min_version]
    if settings.tls_min_version in ("1.0", "1.1"):
        context.set_ciphers(_OLD_CIPHERS)
    if settings.client_cert:
        _load_client_certificate(context, settings)
    return context


def _load_authorities(settings: SourceSection) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # SSLError is a subclass
        raise ConfigError(f"ca_file {settings.ca_file}: {sanitize_line(str(error))}") from None


def _load_client_certificate(context: ssl.SSLContext, settings: SourceSection) -> None:
    try:
        # A key with a passphrase would otherwise ask for it on the terminal.
        context.load_cert_chain(str(settings.client_cert), settings.client_key, password=_refuse)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"client_cert {settings.client_cert}: {sanitize_line(str(error))}"
        ) from None


def _refuse() -> str:
    raise ValueError("its key has a passphrase: remove that with `openssl pkey`")

"""Until when a certificate is valid. `ssl` says it only of a certificate that another side showed.

RFC 5280, section 4.1: Certificate is a sequence of a sequence `tbsCertificate`, in which `validity`
is the fourth field after an optional version: a sequence of two times.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_END: Final = "-----END CERTIFICATE-----"
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_FORMATS: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


def read_expiry(path: Path) -> float | None:
    """Until when the first certificate of a PEM file is valid.

    Returns: Unix time in seconds; None if the file has none of the usual form.
    """
    try:
        text = path.read_text("ascii", "replace")
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(_END) + len(_END)]
        ((_, certificate),) = _split(ssl.PEM_cert_to_DER_cert(first))
        (_, body), *_ = _split(certificate)
        fields = [content for kind, content in _split(body) if kind != _VERSION]
        _, (kind, until) = _split(fields[3])
        return datetime.strptime(until.decode(), _FORMATS[kind]).replace(tzinfo=UTC).timestamp()
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _split(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of a DER sequence: tag and content."""
    at = 0
    while at < len(content):
        kind, length, at = content[at], content[at + 1], at + 2
        if length & 0x80:
            end = at + (length & 0x7F)
            length, at = int.from_bytes(content[at:end], "big"), end
        yield kind, content[at : at + length]
        at += length

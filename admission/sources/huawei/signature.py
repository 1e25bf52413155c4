"""Huawei's "C2" authorization: a request signed with HMAC-SHA256, as CC-CMS requires it.

    prefix        = auth-v2/ACCESS_KEY/TIMESTAMP/SIGNED_HEADERS
    signing key   = hex HMAC(secret, prefix)
    signature     = hex HMAC(signing key as text, canonical request)
    Authorization = prefix/signature

The canonical request contains the body, percent-encoded and not hashed, so the signature must cover
exactly the bytes that are sent. Source: Huawei's sample code, and vectors made with its signer.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

VERSION: Final = "auth-v2"


def format_timestamp(moment: datetime, form: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Format a moment as the signature has it: ISO 8601 in UTC, `2027-01-31T08:00:00Z`."""
    text = moment.astimezone(UTC).isoformat(timespec=form)
    return text.removesuffix("+00:00") + "Z"


def percent_encode(text: str | bytes) -> str:
    """Encode UTF-8 as RFC 3986: `A-Za-z0-9-._~` stay, other bytes become `%XX` in capitals."""
    return quote(text, safe="")


def build_canonical_request(
    method: str,
    path: str,
    *,
    query: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str],
    signed: Sequence[str],
    body: bytes,
) -> str:
    """Build the text that is signed.

    Args:
        method: in capitals.
        path: as it is sent.
        query: decoded pairs of name and value.
        headers: lowercase name -> value; those of `signed` at least.
        signed: lowercase names, sorted.
        body: exactly the bytes that are sent.

    Raises:
        KeyError: `headers` lacks a signed header.
    """
    pairs = sorted(f"{percent_encode(name)}={percent_encode(value)}" for name, value in query)
    lines = sorted(
        f"{percent_encode(name)}:{percent_encode(headers[name].strip())}" for name in signed
    )
    parameters = ["&".join(pairs)] if pairs else []
    return "\n".join([method, path, *parameters, ";".join(signed), *lines, percent_encode(body)])


def build_authorization(
    access_key: str, secret: str, timestamp: str, signed: Sequence[str], canonical_request: str
) -> str:
    """Build the value of the Authorization header.

    Args:
        access_key, secret: of the system user who signs.
        timestamp: see `format_timestamp`.
        signed: the header names in `canonical_request`.
        canonical_request: see `build_canonical_request`.
    """
    prefix = "/".join((VERSION, access_key, timestamp, ";".join(signed)))
    return f"{prefix}/{_hmac(_hmac(secret, prefix), canonical_request)}"


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()

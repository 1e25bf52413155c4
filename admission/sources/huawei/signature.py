"""Huawei's "C2" authorization: a request signed with HMAC-SHA256, as CC-CMS wants it.

    prefix        = auth-v2/ACCESS_KEY/TIMESTAMP/SIGNED_HEADERS
    signing key   = hex HMAC(secret, prefix)
    signature     = hex HMAC(signing key as text, canonical request)
    Authorization = prefix/signature

The body is part of the canonical request, percent-encoded and not hashed, so the very bytes that
are sent must be signed. Source: Huawei's sample code, and vectors made with its own signer.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

VERSION: Final = "auth-v2"


def timestamp(moment: datetime, form: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """A moment as the signature has it, in UTC."""
    text = moment.astimezone(UTC).isoformat(timespec=form)
    return text.removesuffix("+00:00") + "Z"


def normalized(text: str | bytes) -> str:
    """Percent-encoded UTF-8: `A-Za-z0-9-._~` stay, the rest becomes `%XX` in capitals."""
    return quote(text, safe="")


def canonical_request(
    method: str,
    path: str,
    *,
    query: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str],
    signed: Sequence[str],
    body: bytes,
) -> str:
    """What is signed of a request.

    Args:
        method: in capitals.
        path: as it is sent.
        query: its pairs, decoded.
        headers: lowercase name -> value, at least those of `signed`.
        signed: lowercase names, sorted.
        body: the very bytes that are sent.

    Errors: KeyError for a signed header that is not there.
    """
    pairs = sorted(f"{normalized(name)}={normalized(value)}" for name, value in query)
    lines = sorted(f"{normalized(name)}:{normalized(headers[name].strip())}" for name in signed)
    asked = ["&".join(pairs)] if pairs else []
    return "\n".join([method, path, *asked, ";".join(signed), *lines, normalized(body)])


def authorization(
    access_key: str, secret: str, at: str, signed: Sequence[str], canonical: str
) -> str:
    """The value of the Authorization header.

    Args:
        access_key, secret: who signs.
        at: `timestamp`.
        signed: the names in `canonical`.
        canonical: `canonical_request`.
    """
    prefix = "/".join((VERSION, access_key, at, ";".join(signed)))
    return f"{prefix}/{_hmac(_hmac(secret, prefix), canonical)}"


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()

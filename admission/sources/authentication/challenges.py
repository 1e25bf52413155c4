"""Reads `WWW-Authenticate`: several headers, and several challenges in one header. Pure.

Source: RFC 9110, sections 5.6, 11.3 and 11.6.1. A comma separates both the challenges of a header
and the parameters of a challenge; a scheme is a token that no `=` follows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

HEADERS_MAX: Final = 8
HEADER_CHARS_MAX: Final = 4_096
CHALLENGES_MAX: Final = 16

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))(?=[\s,]|$)'
)
_SCHEME: Final = re.compile(rf"({_TOKEN})(?=[\s,]|$)")
# Credentials without parameters, such as the Base64 text of Negotiate.
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
_SPACE: Final = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge.

    Args:
        scheme: in lower case, such as `digest`.
        name: the scheme as the server wrote it.
        parameters: name in lower case -> value without its quotes.
    """

    scheme: str
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read the challenges of all `WWW-Authenticate` headers of an answer, in their order.

    Args:
        headers: their values, hostile ones included: 8 headers of 4096 characters are read, and 16
            challenges. Text that is no challenge is passed over.
    """
    found: list[Challenge] = []
    for header in list(headers)[:HEADERS_MAX]:
        found += _read_header(header[:HEADER_CHARS_MAX])
    return found[:CHALLENGES_MAX]


def _read_header(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = _SPACE.match(text, 0).end()  # type: ignore[union-attr]  # it matches nothing, too
    while at < len(text):
        if found and (parameter := _PARAMETER.match(text, at)):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            at = parameter.end()
        elif scheme := _SCHEME.match(text, at):
            parameters = {}
            found.append(Challenge(scheme=scheme[1].lower(), name=scheme[1], parameters=parameters))
            at = _skip_token68(text, scheme.end())
        else:
            at += 1
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    return found


def _skip_token68(text: str, at: int) -> int:
    """The end of `Negotiate TlRM...`; `at` where parameters, another scheme or nothing follow."""
    begin = at + 1
    token = _TOKEN68.match(text, begin) if text[at:begin] == " " else None
    if token and not _PARAMETER.match(text, begin) and text[begin : token.end()] != "":
        return token.end()
    return at

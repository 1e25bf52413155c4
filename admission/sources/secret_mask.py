"""Masks secrets in what a platform answers, in every encoding in which it may echo them.

A platform that echoes a request echoes the Authorization header, which has the password in Base64,
or the query, where it is percent-encoded, or the body, where XML or JSON escapes it. Such an answer
must not reach the status of a zone or the log.

The text is searched as it is, and with its escapes decoded once, twice ... Each time for the
secret, decoded as often or less (it may have a % itself), for its hexadecimal digits, and for the
Base64 characters that it determines at each position of what was encoded. A match in Base64 masks
the whole run of such characters, since the first and the last of them contain a part of the secret.
Secrets are not compiled into regular expressions: that takes 70 ms for a session identifier of 180
characters.
"""

import base64
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

MASK: Final = "***"
# Shorter parts of a Base64 text occur by chance.
_BASE64_CHARS_MIN: Final = 4
_NAMED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_TOKEN: Final = re.compile(
    r"%(?P<percent>[0-9A-Fa-f]{2})"
    r"|&(?:#0*(?P<decimal>[0-9]{1,7})|#[xX]0*(?P<hex>[0-9A-Fa-f]{1,6})"
    r"|(?P<named>amp|lt|gt|quot|apos));"
    r"|\\(?:(?P<units>u[0-9A-Fa-f]{4}(?:\\u[dD][c-fC-F][0-9A-Fa-f]{2})?)|(?P<escaped>[\"\\/]))"
)
_LEVELS: Final = 4  # how often escapes are decoded
_URL_SAFE: Final = str.maketrans("-_", "+/")
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")

Span: TypeAlias = tuple[int, int]


class _Bytes(NamedTuple):
    """A text as its UTF-8 bytes, each a character, and the place of each in the original."""

    text: str
    places: Sequence[Span]


class SecretMask:
    """Replaces secrets by `***`.

    Args:
        secrets: empty ones are ignored.

    Example: `SecretMask(["pa&ss"])("user=u password=pa%26ss")  # "user=u password=***"`.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        contents = {one for secret in filter(None, secrets) for one in _encode(secret)}
        levels = [{one.decode("latin-1") for one in contents}]
        for _ in range(_LEVELS):
            levels.append(levels[-1] | {_decode(_as_is(one)).text for one in levels[-1]})
        # A form has + for a space.
        self._plain = [one | {text.replace(" ", "+") for text in one} for one in levels]
        self._hex = {one.hex() for one in contents}
        self._base64 = {part for one in contents for part in _base64_parts(one)}

    def __call__(self, text: str) -> str:
        """Mask the secrets in a text."""
        if not self._hex:
            return text
        level, spans = _to_bytes(text), []
        for plain in self._plain:
            for start, end in self._find(level.text, plain):
                spans.append((level.places[start][0], level.places[end - 1][1]))
            decoded = _decode(level)
            if decoded.text == level.text:
                break
            level = decoded
        return _replace(text, spans)

    def _find(self, text: str, plain: Collection[str]) -> Iterator[Span]:
        for one in plain:
            yield from _find_all(text, one)
        lower = text.lower()  # of as many characters: each is a byte
        for one in self._hex:
            yield from _find_all(lower, one)
        standard = text.translate(_URL_SAFE)
        for one in self._base64:
            for start, end in _find_all(standard, one):
                yield _extend(standard, start, end)


def _encode(secret: str) -> Iterator[bytes]:
    yield secret.encode("utf-8", "surrogatepass")
    if max(secret) < "\u0100":
        yield secret.encode("latin-1")


def _to_bytes(text: str) -> _Bytes:
    contents = [one.encode("utf-8", "surrogatepass") for one in text]
    places = [(at, at + 1) for at, content in enumerate(contents) for _ in content]
    return _Bytes(b"".join(contents).decode("latin-1"), places)


def _as_is(text: str) -> _Bytes:
    return _Bytes(text, [(at, at + 1) for at in range(len(text))])


def _decode(encoded: _Bytes) -> _Bytes:
    """Decode every escape once."""
    text, at = encoded.text, 0
    decoded: list[str] = []
    places: list[Span] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        content = _decode_token(match)
        decoded += [text[at:start], content]
        places += encoded.places[at:start]
        places += [(encoded.places[start][0], encoded.places[end - 1][1])] * len(content)
        at = end
    return _Bytes("".join([*decoded, text[at:]]), [*places, *encoded.places[at:]])


def _decode_token(match: re.Match[str]) -> str:
    """The bytes of an escape, as characters."""
    kind, value = str(match.lastgroup), str(match[str(match.lastgroup)])
    if kind == "percent":
        return chr(int(value, 16))
    if kind == "named":
        return _NAMED[value]
    if kind == "escaped":
        return value
    if kind == "units":  # of UTF-16, a pair for a character beyond 16 bits
        units = b"".join(bytes.fromhex(one) for one in re.findall("u(.{4})", value))
        character = units.decode("utf-16-be", "surrogatepass")
    else:
        point = int(value, 10 if kind == "decimal" else 16)
        character = chr(point) if point <= 0x10FFFF else ""
    return character.encode("utf-8", "surrogatepass").decode("latin-1")


def _base64_parts(content: bytes) -> Iterator[str]:
    """The Base64 characters that the content alone determines, at each alignment."""
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + content).decode()
        part = text[-(-8 * offset // 6) : 8 * (offset + len(content)) // 6]
        if len(part) >= _BASE64_CHARS_MIN:
            yield part


def _find_all(text: str, wanted: str) -> Iterator[Span]:
    at = text.find(wanted)
    while at >= 0:
        yield at, at + len(wanted)
        at = text.find(wanted, at + len(wanted))


def _extend(text: str, start: int, end: int) -> Span:
    while start and text[start - 1] in _BASE64:
        start -= 1
    while end < len(text) and text[end] in _BASE64:
        end += 1
    return start, end


def _replace(text: str, spans: Sequence[Span]) -> str:
    kept, at = [], 0
    for start, end in sorted(spans):
        if end > at:
            if start >= at:
                kept += [text[at:start], MASK]
            at = end
    return "".join(kept) + text[at:]

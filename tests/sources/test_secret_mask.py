"""Secrets are masked in whatever encoding a platform echoes them."""

import base64
import html
import json
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from admission.sources.base import LINE_CHARS_MAX, sanitize_line
from admission.sources.secret_mask import MASK, SecretMask
from tests.support.envelopes import counts, fault
from tests.support.scripted_platform import platform, refused

SECRET = "pa&s<s wörd/+%41\"'\\"
USER = "outcall"


def encode_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODED = {
    "plain": SECRET,
    "percent": quote(SECRET, safe=""),
    "percent, lower case": quote(SECRET, safe="").replace("%C3", "%c3"),
    "every character": "".join(f"%{byte:02x}" for byte in SECRET.encode()),
    "form": quote_plus(SECRET),
    "percent, twice": quote(quote(SECRET, safe=""), safe=""),
    "latin-1": quote(SECRET, safe="", encoding="latin-1"),
    "XML": escape(SECRET),
    "XML with quotes": escape(SECRET, {'"': "&quot;", "'": "&apos;"}),
    "XML, twice": escape(escape(SECRET)),
    "HTML": html.escape(SECRET),
    "decimal references": "".join(f"&#{ord(c)};" for c in SECRET),
    "hexadecimal references": "".join(f"&#x{ord(c):X};" for c in SECRET),
    "JSON": json.dumps(SECRET),
    "JSON, twice": json.dumps(json.dumps(SECRET)),
    "percent of XML": quote(escape(SECRET), safe=""),
    "hexadecimal": SECRET.encode().hex().upper(),
    "Base64": encode_base64(SECRET),
    "Base64 with a user": encode_base64(f"{USER}:{SECRET}"),
    "Base64 at the next position": encode_base64(f"{USER}2:{SECRET}tail"),
    "Base64 at the last position": encode_base64(f"{USER}22:{SECRET}tail"),
    "Base64 for URLs": base64.urlsafe_b64encode(f"{USER}:{SECRET}".encode()).decode(),
    "Base64 in latin-1": base64.b64encode(f"{USER}:{SECRET}".encode("latin-1")).decode(),
    "Base64, percent-encoded": quote(encode_base64(f"{USER}:{SECRET}"), safe=""),
}


@pytest.mark.parametrize("encoded", ENCODED.values(), ids=list(ENCODED))
def test_an_encoded_secret_is_masked(encoded: str) -> None:
    text = f"Authorization: Basic {encoded}, sent twice: {encoded}."
    masked = SecretMask([SECRET])(text)
    assert masked.count(MASK) == 2
    assert masked.replace('"', "").replace("\\", "") == (
        f"Authorization: Basic {MASK}, sent twice: {MASK}."
    )


characters = st.characters(codec="utf-8", exclude_characters="\x00")
SPELLINGS = (
    lambda c: c,
    lambda c: quote(c, safe=""),
    lambda c: quote(c, safe="").lower() if not c.isalnum() else c,
    lambda c: "".join(f"%{byte:02X}" for byte in c.encode()),
    lambda c: f"&#{ord(c)};",
    lambda c: f"&#x{ord(c):x};",
    lambda c: html.escape(c),
)


@given(
    st.lists(st.tuples(characters, st.sampled_from(SPELLINGS)), min_size=4, max_size=12),
    st.text(alphabet="xyz :=", max_size=8),
)
def test_a_secret_is_masked_in_any_mixture_of_encodings(spelled: list, around: str) -> None:  # type: ignore[type-arg]
    secret = "".join(c for c, _ in spelled)
    encoded = "".join(spell(c) for c, spell in spelled)
    masked = SecretMask([secret])(f"{around} {encoded} {around}")
    assert secret not in masked or secret in MASK
    assert encoded not in masked or encoded in MASK


@given(st.text(min_size=6, max_size=40).filter(str.strip), st.text(max_size=5), st.text(max_size=5))
def test_a_secret_is_masked_in_base64_of_any_surrounding(
    secret: str, before: str, after: str
) -> None:
    echoed = base64.b64encode((before + secret + after).encode("utf-8", "surrogatepass")).decode()
    assert SecretMask([secret])(f"[{echoed}]") == f"[{MASK}]"


@given(st.text(max_size=300))
def test_a_text_without_the_secret_stays(text: str) -> None:
    masked = SecretMask(["\ue000 never drawn \ue001"])(text)
    assert masked == text or "\ue000" in text


def test_a_secret_at_the_end_of_a_line_is_masked_before_the_line_is_cut() -> None:
    for at in range(LINE_CHARS_MAX - len(SECRET), LINE_CHARS_MAX):
        line = sanitize_line("x" * at + "," + quote(SECRET, safe=""), secrets=[SECRET])
        assert "pa%26" not in line


@pytest.mark.parametrize("encoding", ["basic", "percent", "xml"])
async def test_a_platform_that_echoes_credentials_shows_none_of_them(encoding: str) -> None:
    async def echo(request: web.Request) -> web.Response:
        header = request.headers["Authorization"]
        words = {
            "basic": header,
            "percent": quote(header, safe=""),
            "xml": "".join(f"&#{ord(c)};" for c in base64.b64decode(header.split()[1]).decode()),
        }
        return web.Response(status=500, body=fault("x" * 270 + " " + escape(words[encoding])))

    async with platform(echo) as url:
        error = await refused(url)
    shown = error.detail
    assert "s3cret" not in shown
    for start in range(3):  # of the password, which is cut off nowhere
        assert encode_base64("x" * start + "s3cret")[start + 1 : start + 6] not in shown


async def test_nor_does_one_that_echoes_them_as_a_count() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=counts(request.headers["Authorization"]))

    async with platform(echo) as url:
        error = await refused(url)
    assert "is not an integer: 'Basic ***'" in error.detail

"""Whatever a platform sends, reading it gives an answer or a SourceError."""

from hypothesis import given
from hypothesis import strategies as st

from admission.errors import SourceError
from admission.sources.base import LINE_CHARS_MAX
from admission.sources.experience_portal.soap import read_integer, read_response
from tests.support.envelopes import counts, fault, plain

TAGS = ("a", "Envelope", "Body", "Fault", "QueryResourcesResponse", "totalRes_returned", "n:a")
MARKUP = ("<!--", "-->", "<![CDATA[", "]]>", "<?x?>", '<a xmlns="">', "<!DOCTYPE a>", "<n:a/>")
CHARACTERS = ("&lt;", "&x;", "&#0;", "&#x41;", "\x00", "é", "7")
XML_PIECES = st.sampled_from(
    [f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + [*MARKUP, *CHARACTERS]
)
ODD_ENCODINGS = (
    "utf-7",
    "idna",
    "punycode",
    "rot13",
    "hex",
    "undefined",
    "shift_jis",
    "cp037",
    "x",
)
ENCODINGS = st.sampled_from(("utf-8", "utf-16", "latin-1", "ascii", *ODD_ENCODINGS))


def survives(body: bytes) -> None:
    """It is read, or refused in one line; any other exception fails the test."""
    try:
        fields = read_response(body, "QueryResources")
        for name in [*fields, "totalRes_returned"]:
            read_integer(fields, name)
    except SourceError as error:
        detail = error.detail
    else:
        detail = "fine"
    assert detail.isprintable()
    assert len(detail) < 2 * LINE_CHARS_MAX


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_an_answer_or_a_source_error(body: bytes) -> None:
    survives(body)


@given(st.lists(XML_PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_what_looks_like_xml_is_an_answer_or_a_source_error(text: str) -> None:
    survives(text.encode("utf-8", "surrogatepass"))
    survives(plain(text.encode("utf-8", "replace").decode()))


@given(ENCODINGS, st.binary(max_size=20))
def test_every_encoding_is_an_answer_or_a_source_error(encoding: str, tail: bytes) -> None:
    survives(f'<?xml version="1.0" encoding="{encoding}"?><a>'.encode() + tail + b"</a>")


@given(st.data())
def test_a_damaged_answer_is_an_answer_or_a_source_error(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from([counts(), fault()]))
    at = data.draw(st.integers(0, len(body)))
    until = data.draw(st.integers(at, min(at + 40, len(body))))

    survives(body[:at] + data.draw(st.binary(max_size=8)) + body[until:])

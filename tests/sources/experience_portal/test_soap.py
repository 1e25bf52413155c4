"""SOAP as text: what is written, what is read, and that nothing read does harm."""

import base64
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from admission.config.sources.experience_portal import DIALECTS
from admission.errors import SourceError
from admission.sources.base import LINE_CHARS_MAX, is_polled, sanitize_line
from admission.sources.experience_portal.soap import (
    SoapFault,
    read_integer,
    read_response,
    write_request,
)
from tests.support.envelopes import SERVICE, SOAP_11, SOAP_12, counts, envelope, fault, plain

COUNTS = {"totalRes_returned": "200", "unusedSIP_returned": "64", "unusedH323_returned": "10"}
BOMB = (
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + "".join(f'<!ENTITY b{n} "{f"&b{n - 1 or str()};" * 10}">' for n in range(1, 10))
    + "]><a>&b9;</a>"
).encode()
OUTSIDE = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>'


RESPONSE = (
    "<QueryResourcesResponse{}><totalRes_returned>200</totalRes_returned>"
    "<unusedSIP_returned>64</unusedSIP_returned><unusedH323_returned>10</unusedH323_returned>"
    "</QueryResourcesResponse>"
)


# -- reading


@pytest.mark.parametrize(
    "body",
    [
        counts(),
        b"\n " + counts().split(b"?>")[1],
        b"\xef\xbb\xbf" + counts(),
        counts().decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        counts().replace(b"UTF-8", b"ISO-8859-1"),
        counts().replace(b"ns1", b"vp").replace(b"soapenv", b"S"),
        counts().replace(SERVICE.encode(), b"urn:another-version"),
        counts().replace(SOAP_11.encode(), SOAP_12.encode()),
        envelope(RESPONSE.format(f' xmlns="{SERVICE}"')),
        envelope(RESPONSE.format("")),
        plain(RESPONSE.format("")),
        plain("<!-- a comment -->" + RESPONSE.format("")),
        b"<Envelope><Header><Body/></Header><Body>" + RESPONSE.format("").encode() + b"</Body>"
        b"</Envelope>",
    ],
)
def test_an_answer_is_read_by_local_name_whatever_it_is_wrapped_in(body: bytes) -> None:
    assert read_response(body, "QueryResources") == COUNTS


def test_fields_are_read_at_any_depth_and_empty_ones_are_empty() -> None:
    body = plain("<PingResponse><a>2<b>1</b></a><c/><d> x </d></PingResponse>")

    assert read_response(body, "Ping") == {"b": "1", "c": "", "d": " x "}


Q = "QueryResources"
NUMBERS = RESPONSE.partition(">")[2].removesuffix("</QueryResourcesResponse>")
BOUNDARY = 'multipart/related; boundary="b-1"; type="text/xml"'
MTOM = (
    "preamble\r\n--b-1\r\nContent-Type: text/plain\r\nContent-ID: <other>\r\n\r\nno XML\r\n"
    '--b-1\r\nContent-Type: application/xop+xml; charset=UTF-8; type="text/xml"\r\n'
    "Content-Transfer-Encoding: {}\r\nContent-ID: <root@host>\r\n\r\n{}\r\n--b-1--\r\n"
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (
            envelope(
                f"<QueryResourcesResponse><return>{NUMBERS}</return></QueryResourcesResponse>"
            ),
            "",
        ),
        (envelope(f"<queryResourcesResponse><a><b>{NUMBERS}</b></a></queryResourcesResponse>"), ""),
        (
            envelope(
                f'<{Q}Response><{Q}Return href="#id0"/></{Q}Response><multiRef id="id0">'
                f'<n href="#id1"/></multiRef><multiRef id="id1">{NUMBERS}</multiRef>'
            ),
            "",
        ),
        (
            envelope(
                f'<QueryResourcesResponse><a href="#a"/><b href="#none"/>{NUMBERS}'
                '</QueryResourcesResponse><multiRef id="a"><a href="#a"/></multiRef>'
            ),
            "",
        ),
        (b" \r\n\t" + counts(), "text/xml"),
        (b"\xef\xbb\xbf\n" + counts(), "text/xml; charset=utf-8"),
        (
            counts()
            .decode()
            .replace("UTF-8", "US-ASCII")
            .replace("<ns1:total", "<x>ä</x><ns1:total")
            .encode("latin-1"),
            "text/xml; charset=ISO-8859-1",
        ),
        (counts(), "text/xml; charset=none-such"),
        (MTOM.format("binary", counts().decode()).encode(), f'{BOUNDARY}; start="<root@host>"'),
        (
            MTOM.format("base64", base64.encodebytes(counts()).decode()).encode(),
            f"{BOUNDARY}; start=root@host",
        ),
        (
            b"--b-1\r\nContent-Type: text/xml\r\n\r\n" + counts() + b"\r\n--b-1--",
            BOUNDARY,
        ),
    ],
)
def test_an_answer_is_read_as_real_stacks_wrap_it(body: bytes, content_type: str) -> None:
    found = read_response(body, "QueryResources", content_type=content_type)
    assert {name: found[name].strip() for name in COUNTS} == COUNTS
    assert read_integer(found, "totalRes_returned") == 200


def test_a_repeated_field_matters_only_where_it_is_asked_for() -> None:
    body = envelope(
        f"<QueryResourcesResponse><x>1</x><x>2</x>{NUMBERS}<unusedSIP_returned>64"
        "</unusedSIP_returned><totalRes_returned>300</totalRes_returned></QueryResourcesResponse>"
    )
    found = read_response(body, "QueryResources")
    assert read_integer(found, "unusedSIP_returned") == 64
    with pytest.raises(SourceError, match="several totalRes_returned, which differ"):
        read_integer(found, "totalRes_returned")


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"busy", "text/plain", r"not XML \(text/plain\)"),
        (b"\x00\x01", "application/octet-stream", r"not XML \(application/octet-stream\)"),
        (b"no parts", BOUNDARY, r"no root part \(multipart/related; boundary="),
        (b"--b-1--", BOUNDARY, "no root part"),
        (
            MTOM.format("binary", BOMB.decode()).encode(),
            f'{BOUNDARY}; start="<root@host>"',
            "document type",
        ),
        (b"--b-1\r\n" * 30_000, BOUNDARY, "nothing|not XML|no root part"),
        (b"", "text/xml\r\nX: y", "nothing"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_type(
    body: bytes, content_type: str, says: str
) -> None:
    with pytest.raises(SourceError, match=says):
        read_response(body, "QueryResources", content_type=content_type)


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        (
            "<faultcode>soapenv:Server.userException</faultcode><faultstring/>"
            "<detail><LaunchVXMLFault/></detail>",
            r"fault: without a description \(Server.userException, LaunchVXMLFault\)",
        ),
        ("", "fault: without a description$"),
    ],
)
def test_a_fault_without_words_shows_its_code_and_its_name(inside: str, says: str) -> None:
    with pytest.raises(SoapFault, match=says):
        read_response(envelope(f"<soapenv:Fault>{inside}</soapenv:Fault>"), "QueryResources")


@pytest.mark.parametrize("length", [200, 5_000])
def test_a_fault_that_was_cut_is_read_as_far_as_it_came(length: int) -> None:
    whole = envelope(
        "<soapenv:Fault><faultcode>soapenv:Server</faultcode><faultstring>no licence</faultstring>"
        f"<detail><stackTrace>{'at com.example.Fine(Fine.java) ' * 500}</stackTrace></detail>"
        "</soapenv:Fault>"
    )
    cut = whole[: whole.index(b"</faultstring>") + length]
    with pytest.raises(SoapFault, match="no licence"):
        read_response(cut, "QueryResources", is_cut=True)
    with pytest.raises(SourceError, match="longer than any valid one"):
        read_response(counts()[:-20], "QueryResources", is_cut=True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "answered with nothing"),
        (b" \n ", "answered with nothing"),
        (b"<html><body>Sorry</body></html>", "answered with an HTML page"),
        (b"\r\n<!DOCTYPE HTML PUBLIC><HTML>", "answered with an HTML page"),
        (b'<h:html xmlns:h="x"/>', "answered with an HTML page"),
        (b"OK 200 200 0", "the answer is not XML"),
        (counts()[:150], "the answer is not XML"),
        (b"\x00\xff\xfe", "the answer is not XML"),
        (b'<?xml version="1.0" encoding="none-such"?><a/>', "the answer is not XML"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "the answer is not XML"),
        (b"<a>&nbsp;</a>", "the answer is not XML"),
        (BOMB, "document type, which SOAP forbids"),
        (OUTSIDE, "document type, which SOAP forbids"),
        (b"<!DOCTYPE Envelope>" + plain("<a/>"), "document type, which SOAP forbids"),
        (b"<feed/>", "XML, but not a SOAP envelope"),
        (b"<Envelope><Body/><Body/></Envelope>", "XML, but not a SOAP envelope"),
        (b"<Envelope/>", "XML, but not a SOAP envelope"),
        (plain(""), "the SOAP body is empty"),
        (plain("<GetStatusResponse/>"), "GetStatusResponse instead of QueryResourcesResponse"),
        (b"<a>" * 50_000 + b"</a>" * 50_000, "the answer is not XML"),
    ],
)
def test_a_malformed_answer_is_named(body: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        read_response(body, "QueryResources")
    assert not isinstance(caught.value, SoapFault)


@pytest.mark.parametrize(
    ("body", "code", "description", "detail"),
    [
        (fault(), "7", "no such zone", "fault 7: no such zone"),
        (fault("", ""), "", "x", "fault: x"),
        (fault(-1, " two\n lines\x7f "), "-1", "two lines", "fault -1: two lines"),
        (
            plain("<QueryResourcesFault><returnCode>3</returnCode></QueryResourcesFault>"),
            "3",
            "",
            "fault 3: without a description",
        ),
        (
            envelope(
                "<soapenv:Fault><soapenv:Code><soapenv:Value>soapenv:Receiver</soapenv:Value>"
                "</soapenv:Code><soapenv:Reason><soapenv:Text>busy</soapenv:Text></soapenv:Reason>"
                "</soapenv:Fault>",
                soap=SOAP_12,
            ),
            "",
            "busy",
            "fault: busy",
        ),
    ],
)
def test_a_fault_has_its_number_and_text(
    body: bytes, code: str, description: str, detail: str
) -> None:
    with pytest.raises(SoapFault) as caught:
        read_response(body, "QueryResources")

    fault = caught.value
    assert (fault.return_code, fault.description, fault.detail) == (code, description, detail)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        (" 12\r\n", 12),
        ("+7", 7),
        ("007", 7),
        ("-1", -1),
        ("4294967295", 2**32 - 1),
        ("9" * 20, 10**20 - 1),
    ],
)
def test_an_integer_is_passed_on_as_it_is(text: str, number: int) -> None:
    assert read_integer({"n": text}, "n") == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "NaN",
        "INF",
        "1e3",
        "7.0",
        "0x10",
        "1_000",
        "1 2",
        "--1",
        "²",
        "٣",
        "9" * 21,
        "\xa05",
    ],
)
def test_a_malformed_integer_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="n is not an integer"):
        read_integer({"n": text}, "n")


def test_an_absent_integer_is_named() -> None:
    with pytest.raises(SourceError, match="has no totalRes_returned"):
        read_integer({}, "totalRes_returned")


# -- writing


def written(version: str = "1.1", action: str = " ", **fields: str | int) -> tuple[str, str]:
    """The body and the content type."""
    dialect = replace(DIALECTS["axis2"], namespace="urn:x", soap_action=action)
    request = write_request("LaunchVXML", fields, dialect=dialect, version=version)
    return request.body.decode(), request.headers["Content-Type"]


def test_a_request_is_read_back_with_its_fields_in_order() -> None:
    body, _ = written(toURI="tel:+4930<&>\"'", uuiInfo=" é\r\n\t", connectTimeoutSecs=45)

    payload = ElementTree.fromstring(body)[0][0]
    assert payload.tag == "{urn:x}LaunchVXMLRequest"
    assert [(one.tag, one.text) for one in payload] == [
        ("{urn:x}toURI", "tel:+4930<&>\"'"),
        ("{urn:x}uuiInfo", " é\r\n\t"),
        ("{urn:x}connectTimeoutSecs", "45"),
    ]


@pytest.mark.parametrize(
    ("version", "action", "headers"),
    [
        ("1.1", " ", {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '" "'}),
        ("1.1", "", {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}),
        (
            "1.1",
            "urn:{operation}",
            {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:Ping"'},
        ),
        ("1.2", "", {"Content-Type": "application/soap+xml; charset=utf-8"}),
        (
            "1.2",
            "urn:{operation}",
            {"Content-Type": 'application/soap+xml; charset=utf-8; action="urn:Ping"'},
        ),
    ],
)
def test_the_action_stands_where_its_soap_version_wants_it(
    version: str, action: str, headers: dict[str, str]
) -> None:
    dialect = replace(DIALECTS["axis2"], namespace="urn:x", soap_action=action)
    request = write_request("Ping", {}, dialect=dialect, version=version)

    assert request.headers == headers
    assert (SOAP_12 if version == "1.2" else SOAP_11).encode() in request.body


@pytest.mark.parametrize("text", ["\x00", "a\x1bb", "\ud800", "\ufffe"])
def test_what_xml_cannot_carry_is_not_sent(text: str) -> None:
    with pytest.raises(SourceError, match="uuiInfo has a character"):
        written(uuiInfo=text)


# -- one line for the operator


def test_a_line_is_one_line_printable_and_short() -> None:
    said = sanitize_line(" a\r\n\tb\x1b[31m\u2028c " + "x" * 10_000)

    assert said.startswith("a b [31m c xxx")
    assert len(said) == LINE_CHARS_MAX
    assert said.endswith("…")


def test_a_line_does_not_repeat_the_secret() -> None:
    assert sanitize_line("user=u password=s3cret", secrets=["s3cret"]) == "user=u password=***"
    assert sanitize_line("plain", secrets=[""]) == "plain"


def test_push_and_static_are_not_polled() -> None:
    assert [is_polled(name) for name in ("epm", "push", "static")] == [True, False, False]

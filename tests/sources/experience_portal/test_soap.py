"""SOAP as text: what is written, what is read, and that nothing read does harm."""

from xml.etree import ElementTree

import pytest

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


def test_fields_with_elements_inside_are_left_out_and_empty_ones_are_empty() -> None:
    body = plain("<PingResponse><a><b>1</b></a><c/><d> x </d></PingResponse>")

    assert read_response(body, "Ping") == {"c": "", "d": " x "}


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
        (plain("<QueryResourcesResponse><a/><a/></QueryResourcesResponse>"), "two of a"),
        (b"<a>" * 50_000 + b"</a>" * 50_000, "XML, but not a SOAP envelope"),
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
    request = write_request(
        "LaunchVXML", fields, namespace="urn:x", soap_action=action, version=version
    )
    return request.body.decode(), request.headers["Content-Type"]


def test_a_request_is_read_back_with_its_fields_in_order() -> None:
    body, _ = written(toURI="tel:+4930<&>\"'", uuiInfo=" é\n", connectTimeoutSecs=45)

    payload = ElementTree.fromstring(body)[0][0]
    assert payload.tag == "{urn:x}LaunchVXMLRequest"
    assert [(one.tag, one.text) for one in payload] == [
        ("{urn:x}toURI", "tel:+4930<&>\"'"),
        ("{urn:x}uuiInfo", " é\n"),
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
    request = write_request("Ping", {}, namespace="urn:x", soap_action=action, version=version)

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

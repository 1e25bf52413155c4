"""Parameters, envelopes and reports: the pure parts of the wire."""

import pytest

from admission.domain.outcomes import Outcome
from admission.sim.experience_portal.contract import OPERATIONS, parse_parameters
from admission.sim.experience_portal.reports import build_report
from admission.sim.experience_portal.soap import SoapFault, read_request, write_fault
from admission.sim.values import CallEvent, Progress
from tests.support.experience_portal import envelope

ENTITIES = b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("a=1", {"a": ["1"]}),
        ("a=1;b=2,3", {"a": ["1"], "b": ["2", "3"]}),
        (r"url=http://x/?a\;b;c=1", {"url": ["http://x/?a;b"], "c": ["1"]}),
        ("a=b=c; d =e;;f", {"a": ["b=c"], "d": ["e"], "f": [""]}),
    ],
)
def test_parameters_are_read(text: str, values: dict[str, list[str]]) -> None:
    assert parse_parameters(text) == values


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        ENTITIES,
        envelope("DropTables"),
        envelope("LaunchVXML", connectTimeoutSecs="soon"),
        envelope("LaunchVXML", connectTimeoutSecs=2**31),
        envelope("QueryResources").replace(b"services.vp.avaya.com", b"elsewhere"),
        b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body/></Envelope>',
    ],
)
def test_a_malformed_request_is_a_client_fault(body: bytes) -> None:
    with pytest.raises(SoapFault) as caught:
        read_request(body, OPERATIONS)
    assert caught.value.sender


def test_children_count_only_when_they_are_qualified() -> None:
    body = envelope("LaunchVXML", toURI="tel:1", fromURI="tel:2").replace(b"v:fromURI", b"fromURI")
    assert read_request(body, OPERATIONS, lax=True).fields == {"toURI": "tel:1"}
    with pytest.raises(SoapFault, match="Unexpected subelement fromURI"):
        read_request(body, OPERATIONS)


def test_children_in_another_order_are_a_fault_unless_the_platform_is_lax() -> None:
    body = envelope("LaunchVXML", toURI="a", fromURI="b")
    moved = body.replace(b"<v:toURI>a</v:toURI>", b"").replace(
        b"</v:fromURI>", b"</v:fromURI><v:toURI>a</v:toURI>"
    )
    assert read_request(moved, OPERATIONS, lax=True).fields == {"toURI": "a", "fromURI": "b"}
    with pytest.raises(SoapFault, match="Unexpected subelement toURI"):
        read_request(moved, OPERATIONS)


def test_the_text_of_a_fault_is_escaped() -> None:
    fault = SoapFault("<b>&\x00", operation="GetStatus", return_code=7)
    text = write_fault("1.1", fault).decode()
    assert "<faultstring>&lt;b&gt;&amp;</faultstring>" in text
    assert '<GetStatusFault xmlns="" ' in text


def event(step: Progress, outcome: Outcome | None = None) -> CallEvent:
    return CallEvent(
        at=0, session="s", step=step, zone="East", campaign="", application="", outcome=outcome
    )


@pytest.mark.parametrize(
    ("step", "outcome", "url", "form"),
    [
        (Progress.PORT_TAKEN, None, "http://h/r/t/launched?k=1", {"port_taken": "true"}),
        (Progress.ENDED, Outcome.BUSY, "http://h/r/t/end?k=1", {"outcome": "busy"}),
        (Progress.ANSWERED, None, None, None),
    ],
)
def test_a_page_reports_below_its_report_url(
    step: Progress, outcome: Outcome | None, url: str | None, form: dict[str, str] | None
) -> None:
    report = build_report(event(step, outcome), "http://h/r/t?k=1")
    assert (report and str(report.url)) == url
    assert report is None or form is None or form.items() <= report.form.items()


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://[", "http://h/" + "x" * 500])
def test_an_invalid_report_url_is_ignored(url: str) -> None:
    assert build_report(event(Progress.PORT_TAKEN), url) is None

"""What a launch says to Experience Portal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admission.client.portal.launch_fields import LaunchOptions, Place, launch_fields
from admission.client.portal.parameters import write_parameters
from admission.sim.experience_portal.contract import OPERATIONS, parse_parameters

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_. -]{0,10}\Z").map(str.strip)
VALUES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=",\\"), max_size=20)


def place(**changes: str | None) -> Place:
    known = {"channel": "sip", "zone_id": "", "report_url": None, "sip_hint": "parameters"}
    return Place(**known | changes)


@pytest.mark.parametrize("operation", ["LaunchVXML", "LaunchCCXML"])
def test_the_fields_are_those_of_the_wsdl_in_its_order(operation):
    fields = launch_fields(operation, place(), "tel:1", "outcall", {})
    assert list(fields) == list(OPERATIONS[operation].request)


def test_a_launch_with_everything():
    options: LaunchOptions = {
        "parameters": {"name": "Smith; John", "langs": ["en", "es"]},
        "from_uri": "tel:5550100",
        "application_url": "http://app/start.vxml",
        "uui": "00C8",
        "timeout_s": 30,
        "page_reports": True,
    }
    where = place(zone_id="7", report_url="https://adm.example.com/r/t0ken")
    assert launch_fields("LaunchVXML", where, "tel:+15550123", "outcall", options) == {
        "toURI": "tel:+15550123",
        "fromURI": "tel:5550100",
        "applicationName": "7:outcall",
        "applicationURL": "http://app/start.vxml",
        "parameters": (
            "name=Smith\\; John;langs=en,es;suggest_sip=true;"
            "report_url=https://adm.example.com/r/t0ken"
        ),
        "uuiInfo": "00C8",
        "connectTimeoutSecs": 30,
    }


def test_the_platform_gets_its_own_time_out_and_not_none():
    assert launch_fields("LaunchVXML", place(), "tel:1", "a", {})["connectTimeoutSecs"] == 120
    assert launch_fields("LaunchCCXML", place(), "", "a", {})["launchTimeout"] == 30


@pytest.mark.parametrize(
    ("channel", "hint", "to", "to_uri", "parameters"),
    [
        ("sip", "parameters", "tel:1", "tel:1", "suggest_sip=true"),
        ("sip", "parameters", "", "", "suggest_sip=true"),
        ("sip", "to_uri", "tel:1", "tel:1?suggest_sip=true", ""),
        ("sip", "to_uri", "tel:1?x=y", "tel:1?x=y&suggest_sip=true", ""),
        ("sip", "none", "tel:1", "tel:1", ""),
        ("sip", "parameters", "sips:a@b", "sips:a@b", ""),
        ("h323", "parameters", "tel:1", "tel:1", ""),
    ],
)
def test_a_sip_grant_is_launched_on_sip(channel, hint, to, to_uri, parameters):
    where = place(channel=channel, sip_hint=hint)
    fields = launch_fields("LaunchCCXML", where, to, "a", {})
    assert (fields["toURI"], fields["parameters"]) == (to_uri, parameters)


@pytest.mark.parametrize(
    ("operation", "channel", "to", "options", "why"),
    [
        ("LaunchVXML", "sip", "", {}, "needs an address"),
        ("LaunchVXML", "sip", "5550123", {}, "starts with tel:"),
        ("LaunchCCXML", "h323", "sip:a@b", {}, "the grant is for h323"),
        ("LaunchCCXML", "sip", "tel:1", {"page_reports": True}, "no report_url"),
        ("LaunchCCXML", "sip", "tel:1", {"parameters": {"a=b": "c"}}, "cannot be a name"),
        ("LaunchCCXML", "sip", "tel:1", {"parameters": {"": "c"}}, "cannot be a name"),
        ("LaunchCCXML", "sip", "tel:1", {"parameters": {"a": "b,c"}}, "give them as a list"),
        ("LaunchCCXML", "sip", "tel:1", {"parameters": {"a": "b\\"}}, "a backslash"),
    ],
)
def test_a_launch_that_the_platform_cannot_make_is_refused(operation, channel, to, options, why):
    with pytest.raises(ValueError, match=why):
        launch_fields(operation, place(channel=channel), to, "outcall", options)


@given(st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=4))
def test_parameters_are_read_in_every_form(said):
    assert parse_parameters(write_parameters(said)) == said

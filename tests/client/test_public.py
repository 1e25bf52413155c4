"""The public names, and the answers of a service that is newer than its client."""

import admission.client as client
from admission.client import Reason
from admission.client.answers import is_grant, read_denial, read_report, read_reservations
from admission.client.errors import read_fault
from admission.errors import Conflict, Invalid, NotFound, TooFast, Unavailable

DENY = {
    "decision": "deny",
    "now": 1,
    "request_id": "r",
    "zone": "East",
    "channel": "sip",
    "campaign": "c",
    "granted": 0,
    "reservations": [],
    "reason": "mpp_full",
    "pool": "mpp:mpp1:sip",
    "in_use": 50,
    "limit": 50,
    "retry_after_ms": 730,
}


def test_the_public_names_are_these():
    assert sorted(client.__all__) == [
        "AdmissionClient",
        "AdmissionError",
        "AskOptions",
        "BlockingClient",
        "BlockingGrant",
        "CallerError",
        "Denied",
        "Grant",
        "Granted",
        "Listed",
        "NotAdmitted",
        "Outcome",
        "Reason",
        "Reported",
        "Reservation",
        "Snapshot",
        "Unavailable",
        "Verdict",
    ]
    assert all(hasattr(client, name) for name in client.__all__)


def test_a_denial_has_its_reason_in_a_line():
    denied = read_denial(DENY)
    assert denied.reason is Reason.MPP_FULL
    assert denied.said == "mpp_full at mpp:mpp1:sip (50 of 50 in use)"
    assert not denied.admitted


def test_a_denial_may_have_an_unknown_reason():
    denied = read_denial(DENY | {"reason": "full_moon", "retry_after_ms": None})
    assert (denied.reason, denied.retry_after_ms) == ("full_moon", None)


def test_an_unknown_decision_is_no_grant():
    assert is_grant({"decision": "grant"})
    assert not any(is_grant({"decision": word}) for word in ("granted", "maybe", True, None))
    assert not is_grant({})


def test_unknown_fields_are_ignored_everywhere():
    odd = {"colour": "red"}
    assert read_denial(DENY | odd | {"snapshot": {"age_ms": 3} | odd}).snapshot.age_ms == 3
    [one] = read_reservations(DENY | {"reservations": [{"id": "i", "channel": "sip"} | odd]})
    assert (one.id, one.zone, one.campaign, one.report_url) == ("i", "East", "c", None)
    assert read_report({"id": "i", "state": "live"} | odd).state == "live"


def test_a_repeat_gives_only_live_reservations():
    reservations = [{"id": "a", "channel": "sip", "state": "ended"}, {"id": "b", "channel": "sip"}]
    assert [one.id for one in read_reservations(DENY | {"reservations": reservations})] == ["b"]


def test_faults_are_the_exceptions_of_the_project():
    wrong = {"errors": [{"field": "count", "message": "too many"}]}
    invalid = read_fault(422, wrong, None)
    assert isinstance(invalid, Invalid)
    assert (invalid.detail, invalid.errors[0].field) == ("count: too many", "count")
    assert isinstance(read_fault(404, {"detail": "no such zone"}, None), NotFound)
    assert isinstance(read_fault(409, {}, None), Conflict)
    assert read_fault(401, {"title": "Unauthorized"}, None).status == 401
    too_fast = read_fault(429, {}, "7")
    assert isinstance(too_fast, TooFast)
    assert too_fast.retry_after_s == 7
    for status in (500, 502, 503, 302):
        assert isinstance(read_fault(status, {"retry_after_ms": 250}, "1"), Unavailable)
    assert read_fault(503, {"retry_after_ms": 250}, "1").retry_after_s == 0.25

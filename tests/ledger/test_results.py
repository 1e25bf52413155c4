"""The script's results in the form of the API: every field under its name, and no other."""

import json
from typing import Any

import pytest

from admission.domain.snapshots import IngestAnswer, Lease
from admission.errors import AdmissionError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from admission.ledger import results, script_errors
from admission.ledger.policy_cache import PolicyLost
from admission.ledger.results import PlainGrant

NOW = 1_700_000_000_000
OP = {"campaign": "c", "request_id": "r", "id": "x"}
SNAPSHOT = {"age_ms": 7, "total": 100, "unused": 40}
CALL = {"id": "x", "channel": "sip", "renew_within_ms": 60_000}
GRANT: dict[str, Any] = {
    "decision": "grant", "request_id": "r", "channel": "sip", "granted": 1,
    "launch_within_ms": 2000, "reservations": [CALL], "room": 3, "snapshot": SNAPSHOT,
}  # fmt: skip
DENY: dict[str, Any] = {
    "decision": "deny", "request_id": "r", "channel": "sip", "granted": 0, "reservations": [],
    "reason": "no_room", "pool": "channel:sip", "in_use": 9, "limit": 10, "retry_after_ms": 500,
}  # fmt: skip
LIMITING = {key: DENY[key] for key in ("reason", "pool", "in_use", "limit", "retry_after_ms")}
HEAD = {"now": NOW, "request_id": "r", "zone": "East", "channel": "sip", "campaign": "c"}
SHOWN = {"id": "East~x", "mpp": None, "channel": "sip", "renew_within_ms": 60_000}
GRANTED: dict[str, Any] = HEAD | {
    "decision": "grant", "granted": 1, "launch_within_ms": 2000, "reservations": [SHOWN],
    "room": 3, "snapshot": SNAPSHOT,
}  # fmt: skip
DENIED = HEAD | LIMITING | {
    "decision": "deny", "granted": 0, "reservations": [], "room": None, "snapshot": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (GRANT, GRANTED),
        (DENY, DENIED),
        (DENY | {"reservations": {}}, DENIED),  # as Lua writes an empty list
        (GRANT | LIMITING, GRANTED | LIMITING),  # fewer than were asked for
        (GRANT | {"repeated": True}, GRANTED | {"repeated": True}),
        (GRANT | {"shadow": True} | LIMITING, GRANTED | {"shadow": True} | LIMITING),
        (GRANT | {"dry_run": True, "repeated": False}, GRANTED | {"dry_run": True}),
        (DENY | {"waiting": {"group": "g"}}, DENIED | {"waiting": {"group": "g"}}),
        (
            GRANT | {"reservations": [CALL | {"mpp": "m1", "state": "ended"}]},
            GRANTED | {"reservations": [SHOWN | {"mpp": "m1", "state": "ended"}]},
        ),
        (
            DENY | {"pools": [{"pool": "p", "in_use": 1, "verdict": "ok", "secret": 1}]},
            DENIED
            | {
                "pools": [
                    {"pool": "p", "limit": None, "in_use": 1, "headroom": None, "room": None}
                    | {"verdict": "ok"}
                ]
            },
        ),
    ],
)
def test_a_decision(result: dict[str, Any], expected: dict[str, Any]) -> None:
    assert results.build_decision("East", OP, NOW, result) == expected


ORDER = (
    "decision", "now", "request_id", "zone", "channel", "campaign", "granted", "launch_within_ms",
    "reservations", "reason", "pool", "in_use", "limit", "retry_after_ms", "room", "snapshot",
)  # fmt: skip


@pytest.mark.parametrize("result", [GRANT, DENY, GRANT | LIMITING])
def test_a_decision_has_its_fields_in_the_order_of_the_contract(result: dict[str, Any]) -> None:
    expected = results.build_decision("East", OP, NOW, result)
    assert list(expected) == [name for name in ORDER if name in expected]


@pytest.mark.parametrize("mpp", [{}, {"mpp": "m1"}])
def test_a_plain_grant_has_the_form_of_any_other(mpp: dict[str, str]) -> None:
    like = {"channel": "sip", "launch_within_ms": 2000, "renew_within_ms": 60_000, **mpp}
    grant = PlainGrant(like | {"snapshot": SNAPSHOT}, 3)
    expected = results.build_plain_grant("East", OP, NOW, grant)
    in_full = results.build_decision("East", OP, NOW, results.expand_plain_grant(OP, grant))
    assert list(expected.items()) == list(in_full.items())


def test_requests_that_are_denied_together_get_different_retry_times() -> None:
    times = {
        results.build_jittered_decision("East", OP, NOW, DENY)["retry_after_ms"] for _ in range(100)
    }
    assert len(times) > 10
    assert min(times) >= 500
    assert max(times) <= 500 * (1 + results.JITTER)
    never = DENY | {"retry_after_ms": None}
    assert results.build_jittered_decision("East", OP, NOW, never)["retry_after_ms"] is None


def test_an_id_carries_its_zone_for_dialers_only() -> None:
    assert results.make_public_id("East", "x") == "East~x"
    assert results.parse_private_id("East~x") == "x"


def test_a_report() -> None:
    result = {"id": "x", "state": "ended", "repeated": False}
    expected = {"id": "East~x", "now": NOW, "state": "ended", "repeated": False}
    more = {"renew_within_ms": 7, "adopted": True}
    assert results.build_report("East", NOW, result) == expected
    assert results.build_report("East", NOW, result | more | {"zone": "?"}) == expected | more


def test_a_page_of_reservations() -> None:
    one = {"id": "x", "state": "live", "campaign": "c", "answer_within": 5, "max_call": 6}
    shown = {
        "id": "East~x", "zone": "East", "state": "live", "campaign": "c",
        "answer_within_ms": 5, "max_call_ms": 6,
    }  # fmt: skip
    result = {"reservations": [one], "cursor": "17"}
    assert results.build_page("East", NOW, result) == {
        "now": NOW, "zone": "East", "reservations": [shown], "cursor": "17",
    }  # fmt: skip
    last = results.build_page("East", NOW, {"reservations": {}, "cursor": "0"})
    assert (last["reservations"], last["cursor"]) == ([], None)
    alone = results.build_reservation("East", one, now=NOW)
    assert alone == shown | {"now": NOW}
    assert list(alone)[:4] == ["id", "now", "state", "zone"]


def test_a_snapshot_and_a_lease() -> None:
    refused = {"accepted": False, "reason": "impossible", "pool": "p", "refused": {"p": 1}}
    assert results.read_ingest(NOW, refused) == IngestAnswer(now=NOW, **refused)
    fine = results.read_ingest(NOW, {"accepted": True, "refused": None})
    assert fine == IngestAnswer(now=NOW, accepted=True, reason=None, pool=None, refused={})
    result = {"token": 3, "until": 4, "wanted": True, "idle_ms": 5, "t0": 6}
    assert results.read_lease(NOW, result) == Lease(
        now=NOW, token=3, until=4, wanted=True, idle_ms=5, newest_t0=6
    )


def test_a_status_has_every_field_of_every_pool() -> None:
    sometimes = {"adaptive_headroom": 1, "set_limit": 2, "set_until": 3, "wildcard": True}
    shown = {
        "adaptive_headroom": 1, "temporary_limit": 2, "temporary_limit_until": 3, "wildcard": True
    }  # fmt: skip
    names = ("in_use", "pending", "held", "ceiling", "capacity", "limit", "headroom", "room")
    pools = [{"pool": "p", "in_use": 1, "odd": 2} | sometimes, {"pool": "q"}]
    found = {"pools": pools, "stats": None, "denied": [{"at": 1}], "paused": {}, "aside": {}}
    expected = results.build_status("East", NOW, found)
    nothing = dict.fromkeys([*names, "snapshot"])
    assert expected == {
        "zone": "East", "now": NOW, "stats": {}, "recent_denials": [{"at": 1}], "paused": {},
        "set_aside": [],
        "pools": [{"pool": "p"} | nothing | {"in_use": 1} | shown, {"pool": "q"} | nothing],
    }  # fmt: skip


@pytest.mark.parametrize(("result", "pool"), [("zone", None), ("trunk:a", "trunk:a")])
def test_a_pause_is_of_the_zone_or_of_a_pool(result: str, pool: str | None) -> None:
    fields = {"paused": True, "changed": True, "version": 3}
    expected = results.build_pause("East", NOW, {"pool": result, "more": 1} | fields)
    assert expected == {"now": NOW, "zone": "East", "pool": pool} | fields


def test_a_temporary_limit() -> None:
    result = {"pool": "p", "limit": 1, "set_limit": 2, "until": 3, "more": 1}
    assert results.build_limit("East", NOW, result) == {
        "now": NOW, "zone": "East", "pool": "p", "limit": 1,
        "temporary_limit": 2, "temporary_limit_until": 3,
    }  # fmt: skip


def test_a_stored_policy() -> None:
    result = {
        "version": "7", "digest": "d", "fields": {"a": 1}, "source": "{}",
        "paused": json.dumps({"zone": 5}), "applied": ["c"],
    }  # fmt: skip
    without = results.read_policy(result)
    assert (without.version, without.digest, without.fields) == (7, "d", {"a": 1})
    assert (without.source, without.paused, without.applied) == ("{}", {"zone": 5}, ("c",))
    assert without.secret == ""
    assert results.read_policy(result | {"secret": "s"}).secret == "s"


@pytest.mark.parametrize(
    ("did", "on", "shown"),
    [("pause", "zone", None), ("limit", "trunk:a", "trunk:a"), ("end", "x", "East~x")],
)
def test_an_entry_of_the_audit(did: str, on: str, shown: str | None) -> None:
    entry = {"id": "1-0", "at": 5, "by": "ann", "did": did, "on": on, "detail": None}
    answer = results.build_audit("East", NOW, {"entries": [entry]})
    assert answer["entries"] == [
        {"id": "1-0", "time": 5, "actor": "ann", "action": did, "target": shown, "detail": {}}
    ]
    assert results.build_audit("East", NOW, {"entries": None})["entries"] == []


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ({"error": "conflict", "field": "request_id", "value": "r"}, Conflict, "request_id r came"),
        ({"error": "conflict", "field": "version", "value": 7}, Conflict, "is version 7"),
        ({"error": "lost"}, PolicyLost, "being restored"),
        ({"error": "unknown_campaign", "value": "c"}, NotFound, "no campaign c"),
        ({"error": "unknown_pool", "value": "p"}, NotFound, "no pool p"),
        ({"error": "unknown_reservation", "value": "x"}, NotFound, "no reservation East~x"),
        ({"error": "forbidden", "field": "id"}, Forbidden, "another campaign"),
        ({"error": "forbidden", "field": "pool"}, Forbidden, "do not reach that pool"),
        ({"error": "forbidden"}, Forbidden, "another campaign"),
        ({"error": "too_many_pauses", "value": 9}, Conflict, "9 pools are paused"),
        ({"error": "unknown_mpp", "field": "mpp", "value": "m"}, Invalid, "mpp: m is not an MPP"),
        ({"error": "unknown_channel", "field": "channel", "value": "x"}, Invalid, "East has no x"),
        ({"error": "pool_not_allowed", "field": "pools", "value": "p"}, Invalid, "p is not open"),
        ({"error": "newer than this"}, AdmissionError, "the ledger failed"),
    ],
)
def test_a_fault(fault: dict[str, Any], kind: type[AdmissionError], says: str) -> None:
    found = script_errors.translate_result("East", fault)
    assert type(found) is kind
    assert says in found.detail


@pytest.mark.parametrize(("error", "says"), [("no_policy", "no policy yet"), ("x", "version of")])
def test_a_call_that_did_nothing(error: str, says: str) -> None:
    found = script_errors.translate_reply("East", error)
    assert isinstance(found, Unavailable)
    assert says in found.detail


@pytest.mark.parametrize(
    ("error", "value", "says", "retry_after_s"),
    [
        ("oom", "", "is full (maxmemory)", 5.0),
        ("aborted", "NOPERM this user has no permissions", "lacks a permission", 5.0),
        ("aborted", "READONLY You can't write", "takes no writes", 1.0),
    ],
)
def test_a_call_that_redis_refused_may_be_repeated(
    error: str, value: str, says: str, retry_after_s: float
) -> None:
    found = script_errors.translate_reply("East", error, value)
    assert isinstance(found, Unavailable)
    assert (found.status, found.retry_after_s) == (503, retry_after_s)
    assert says in found.detail


def test_a_call_that_a_defect_aborted_is_logged_with_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = script_errors.translate_reply("East", "aborted", "attempt to index a nil value")
    assert type(found) is AdmissionError
    assert "attempt to index a nil value" in caplog.text

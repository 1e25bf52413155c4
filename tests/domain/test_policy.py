"""A zone's policy: what is refused and where, and what the ledger gets to read."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from admission.domain.policy.compile import compile_policy
from admission.domain.policy.document import digest, from_json, parse_policy, policy_json
from admission.domain.policy.parts import (
    CHANNELS_MAX,
    PORTS_MAX,
    RATE_MIN,
    CampaignPolicy,
    PoolPolicy,
)
from admission.domain.policy.zone import ZonePolicy
from admission.errors import Invalid

SMALL: dict[str, Any] = {"source": "epm", "channels": ["sip", "h323"]}
EXPIRY = "an expiry while pending would free a port that is taken"
SUM = "launch_within_ms + claim_within_ms + visibility_lag_ms + max_age_ms"

# What is changed in SMALL; where the error is; what it says.
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"source": None}, "source", "is required: a source's name, push or static"),
    ({"sources": ["a"]}, "sources", "must not be given together with source"),
    ({"source": "a b"}, "source", "is not a name: letters, digits"),
    ({"source": None, "sources": ["a", "a"]}, "sources", "must not name anything twice"),
    ({"channels": []}, "channels", "must have at least 1 entries"),
    ({"channels": "sip"}, "channels", "must be a list"),
    ({"channels": ["sip", "any"]}, "channels", "must not contain any"),
    ({"channels": ["sip", "sip"]}, "channels", "must not name anything twice"),
    ({"ports": "share"}, "ports", "must be 'shared' or 'dedicated'"),
    ({"placement": "controller"}, "placement", "must not be controller in a zone without mpps"),
    ({"headroom": -1}, "headroom", "must be ports (0 to 1000000) or a percentage"),
    ({"headroom": True}, "headroom", "must be ports (0 to 1000000) or a percentage"),
    ({"headroom": "101%"}, "headroom", "must be ports (0 to 1000000) or a percentage"),
    ({"headroom": "5"}, "headroom", "must be ports (0 to 1000000) or a percentage"),
    ({"rate_per_s": 0.0001}, "rate_per_s", "must be 0 (no limit) or at least 0.001"),
    ({"rate_per_s": -1}, "rate_per_s", "must be at least 0"),
    ({"rate_per_s": float("nan")}, "rate_per_s", "must be a finite number"),
    ({"rate_per_s": "5"}, "rate_per_s", "must be a number"),
    ({"burst": 1.5}, "burst", "must be a whole number"),
    ({"shadow": 1}, "shadow", "must be true or false"),
    ({"chanels": ["sip"]}, "chanels", "unknown key; did you mean channels?"),
    ({"zzz": 1}, "zzz", "unknown key"),
    ({"launch_within_ms": 0}, "launch_within_ms", "must be at least 1"),
    ({"claim_within_ms": 2**31}, "claim_within_ms", "must be at most 3600000"),
    ({"poll_min_ms": 2000}, "poll_min_ms", "must not be larger than poll_interval_ms, 1000"),
    ({"max_age_ms": 1000}, "poll_interval_ms", "must be less than max_age_ms, 1000: each"),
    ({"answer_within_ms": 13_500}, "answer_within_ms", f"{SUM} = 13500: {EXPIRY}"),
    ({"max_call_ms": 13_500}, "max_call_ms", f"must be greater than {SUM} = 13500: {EXPIRY}"),
    (
        {"applications": {"slow": {"claim_within_ms": 200_000}}},
        "answer_within_ms",
        "claim_within_ms (of application slow) + visibility_lag_ms + max_age_ms = 211500",
    ),
    (
        {"campaigns": {"*": {"answer_within_ms": 13_000}}},
        'campaigns."*".answer_within_ms',
        "= 13500",
    ),
    (
        {"pools": {"agent:1": {"max_call_ms": 13_500}}},
        'pools."agent:1".max_call_ms',
        "= 13500",
    ),
    ({"capacity": {"spi": 3}}, "capacity.spi", "spi is not a channel of this zone; did you mean"),
    ({"capacity": {"sip": 2**31}}, "capacity.sip", "must be at most 1000000"),
    ({"source": "static"}, "capacity.sip", "is required: a static zone has no other measure"),
    ({"call_takes": {"sip": ["ivr"]}}, "call_takes.sip.0", "ivr is not a channel of this zone"),
    ({"call_takes": {"sip": []}}, "call_takes.sip", "must have at least 1 entries"),
    ({"mpps": {"mpp1": {"ivr": 1}}}, "mpps.mpp1.ivr", "ivr is not a channel of this zone"),
    ({"mpps": {"mpp:1": {"sip": 1}}}, 'mpps."mpp:1"', "is not a name: letters, digits"),
    ({"mpps": {"mpp1": 5}}, "mpps.mpp1", "must be a table"),
    (
        {"mpps": {"mpp1": {}}, "applications": {"ivr": {"mpps": ["mpp2"]}}},
        "applications.ivr.mpps.0",
        "mpp2 is not an MPP of this zone; did you mean mpp1?",
    ),
    ({"priority_reserve": {"10": 1}}, "priority_reserve.10", "must be a priority, 0 to 9"),
    ({"campaigns": {"a": {"priority": 10}}}, "campaigns.a.priority", "must be at most 9"),
    ({"campaigns": {"a": {"weight": 0}}}, "campaigns.a.weight", "must be at least 0.01"),
    ({"campaigns": {"a": {"limt": 1}}}, "campaigns.a.limt", "unknown key; did you mean limit?"),
    ({"mpps": {"m": {"sip": "5"}}}, "mpps.m.sip", "must be a whole number"),
    ({"mpps": {"m": {"rate_per_s": -1}}}, "mpps.m.rate_per_s", "must be at least 0"),
    ({"mpps": {"m": {"rate_per_s": "1"}}}, "mpps.m.rate_per_s", "must be a number"),
    ({"mpps": {"m": {"rate_per_s": 0.0001}}}, "mpps.m.rate_per_s", "must be 0 (no limit) or at"),
    ({"mpps": {"m": {"burst": 1.5}}}, "mpps.m.burst", "must be a whole number"),
    ({"mpps": {"m": {"rate_per_sec": 1}}}, "mpps.m.rate_per_sec", "did you mean rate_per_s?"),
    ({"mpps": {"m": 5}}, "mpps.m", "must be a table"),
    ({"mpps": {"m": {f"c{n}": 1 for n in range(17)}}}, "mpps.m", "must have at most 16 channels"),
    ({"channels": ["sip", "burst"]}, "channels", "must not contain burst: an MPP's table has"),
    ({"campaigns": {"a*": {}}}, 'campaigns."a*"', 'nor "*" for every other campaign'),
    (
        {"campaigns": {"*": {"guarantee": 1}}},
        'campaigns."*".guarantee',
        "must not be given to *: the number of such campaigns is unknown",
    ),
    (
        {"campaigns": {"a": {"limit": 5, "guarantee": 6}}},
        "campaigns.a.guarantee",
        "must not be larger than the campaign's limit, 5",
    ),
    (
        {"campaigns": {"a": {"pools": ["trunk:b"]}}, "pools": {"trunk:a": {}}},
        "campaigns.a.pools.0",
        "trunk:b is not a pool of this zone; did you mean trunk:a?",
    ),
    ({"campaigns": {"a": {"pools": ["agent:*"]}}}, "campaigns.a.pools.0", "is not the name of a"),
    (
        {"campaigns": {"a": {"allowed_pools": ["agent:*"]}}},
        "campaigns.a.allowed_pools.0",
        "agent:* is not a pool of this zone",
    ),
    (
        {"campaigns": {"a": {"breaker": {"failures_percent": 0}}}},
        "campaigns.a.breaker.failures_percent",
        "must be at least 1",
    ),
    (
        {"campaigns": {"a": {"breaker": {"windw_ms": 5}}}},
        "campaigns.a.breaker.windw_ms",
        "unknown key; did you mean window_ms?",
    ),
    ({"pools": {"trunk": {}}}, "pools.trunk", "is not the name of a pool, such as"),
    ({"pools": {"mpp:a": {}}}, 'pools."mpp:a"', "must not be of the kind mpp: such pools follow"),
    ({"pools": {"agent:*": {"weight": 1}}}, 'pools."agent:*".weight', "unknown key"),
]


def changed(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**SMALL, **change}.items() if value is not None}


@pytest.mark.parametrize(("change", "place", "sentence"), BAD)
def test_a_bad_policy_is_refused_at_its_place_with_a_reason(
    change: dict[str, Any], place: str, sentence: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parse_policy(changed(change))

    messages = [error.message for error in refused.value.errors if error.field == place]
    assert any(sentence in message for message in messages), refused.value.errors


def test_all_broken_rules_are_listed_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        parse_policy({"source": "static", "channels": ["sip", "h323"], "max_call_ms": 5})

    places = [error.field for error in refused.value.errors]
    assert places == ["capacity.sip", "capacity.h323", "max_call_ms"]


CHANNELS = [f"c{n}" for n in range(CHANNELS_MAX)]
GOOD: list[dict[str, Any]] = [
    {},
    {"source": None, "sources": ["cms", "push"]},
    {"source": "static", "capacity": {"sip": 5, "h323": 0}},
    {"headroom": "100%"},
    {"headroom": "0%"},
    {"headroom": PORTS_MAX},
    {"rate_per_s": RATE_MIN},
    {"channels": CHANNELS, "mpps": {"m": dict.fromkeys(CHANNELS, 1)}, "capacity": {}},
    {"source_zone": 7},
    {"answer_within_ms": 13_501, "max_call_ms": 13_501},
    {"campaigns": {"a": {"pools": ["agent:7"]}}, "pools": {"agent:*": {}}},
    {"campaigns": {"a": {"allowed_pools": ["agent:*"]}}, "pools": {"agent:7": {}}},
    {"campaigns": {"a": {"allowed_pools": []}}},
    {"campaigns": {"a": {"guarantee": 3, "limit": 3, "weight": 0.5}}},
    {"placement": "controller", "mpps": {"mpp1": {"sip": 4}}},
    {"priority_reserve": {"0": 1, "9": 2}},
]


@pytest.mark.parametrize("change", GOOD)
def test_a_good_policy_survives_json(change: dict[str, Any]) -> None:
    policy = parse_policy(changed(change))

    again = from_json(policy_json(policy))

    assert again == policy
    assert digest(again) == digest(policy)
    assert compile_policy(again) == compile_policy(policy)


def test_the_source_of_a_policy_has_no_defaults() -> None:
    policy = parse_policy({**SMALL, "campaigns": {"a": {"weight": 2}}})

    assert json.loads(policy_json(policy)) == {**SMALL, "campaigns": {"a": {"weight": 2}}}
    assert '"weight":2}' in policy_json(policy)


def test_the_digest_is_of_the_content_not_of_its_order() -> None:
    one = parse_policy({**SMALL, "campaigns": {"a": {"limit": 1}, "b": {}}})
    same = parse_policy({"campaigns": {"b": {}, "a": {"limit": 1}}, **SMALL})
    other = parse_policy({**SMALL, "campaigns": {"a": {"limit": 2}, "b": {}}})

    assert digest(one) == digest(same) != digest(other)
    assert len(digest(one)) == 64


def test_the_order_of_mpps_is_content() -> None:
    one = parse_policy({**SMALL, "mpps": {"a": {}, "b": {}}})
    other = parse_policy({**SMALL, "mpps": {"b": {}, "a": {}}})

    assert digest(one) != digest(other)


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_policy(SMALL).shadow = True  # type: ignore[misc]


def zone(change: dict[str, Any]) -> dict[str, Any]:
    return compile_policy(parse_policy(changed(change)))["zone"]


def service_settings(model: type[BaseModel]) -> set[str]:
    """What the script calls them, as long as it calls them as they are called."""
    return {name.removesuffix("_ms") for name in model.model_fields}


def test_the_zone_compiles_with_every_default() -> None:
    expected = {
        "launch_within": 1000,
        "claim_within": 2000,
        "claim_max": 3000,
        "visibility_lag": 500,
        "end_notice": 200,
        "release_within": 0,
        "poll_interval": 1000,
        "poll_min": 200,
        "max_age": 10000,
        "answer_within": 150000,
        "max_call": 3600000,
        "retention": 120000,
        "channels": ["sip", "h323"],
        "any": ["h323", "sip"],
        "fed": ["sip", "h323"],
        "takes": {"sip": ["sip"], "h323": ["h323"]},
        "capacity": {},
        "headroom": 0,
        "headroom_percent": 0,
        "adaptive": 0,
        "adaptive_percent": 3,
        "growth_per_s": 0,
        "dedicated": False,
        "placement": "platform",
        "mpps": [],
        "mpp_total": 0,
        "rate_per_s": 0,
        "burst": 0,
        "shadow": False,
        "priority_reserve": {},
        "guarantee_total": 0,
        "source": "epm/",
        "polled": True,
        "pushed": False,
    }
    found = zone({})
    assert {key: found.get(key) for key in expected} == expected
    assert set(found) - set(expected) <= service_settings(ZonePolicy)


@pytest.mark.parametrize(
    ("change", "compiled"),
    [
        ({"channels": ["web", "sip", "ivr"]}, {"any": ["sip", "web", "ivr"]}),
        ({"source": "push"}, {"fed": ["sip", "h323"]}),
        ({"source": "static", "capacity": {"sip": 1, "h323": 1}}, {"fed": []}),
        ({"headroom": 7}, {"headroom": 7, "headroom_percent": 0}),
        ({"headroom": "7%"}, {"headroom": 0, "headroom_percent": 7}),
        ({"ports": "dedicated"}, {"dedicated": True}),
        (
            {"call_takes": {"sip": ["h323", "sip"]}},
            {"takes": {"sip": ["h323", "sip"], "h323": ["h323"]}},
        ),
        (
            {"mpps": {"b": {"sip": 5, "h323": 1}, "a": {"sip": 4}}},
            {"mpps": ["b", "a"], "mpp_total": 10},
        ),
        (
            {"mpps": {"b": {"sip": 5, "rate_per_s": 3, "burst": 99}}},
            {"mpps": ["b"], "mpp_total": 5},
        ),
        ({"sources": ["a", "b"], "source": None, "source_zone": "x"}, {"source": "a,b/x"}),
        ({"rate_per_s": 2.5}, {"rate_per_s": 2.5, "burst": 3}),
        ({"rate_per_s": 0.1}, {"rate_per_s": 0.1, "burst": 1}),
        ({"rate_per_s": 5, "burst": 2}, {"rate_per_s": 5, "burst": 2}),
        ({"priority_reserve": {"1": 5}}, {"priority_reserve": {"1": 5}}),
        (
            {"applications": {"a": {"claim_within_ms": 5000}}},
            {"claim_within": 2000, "claim_max": 6000},
        ),
        ({"applications": {"a": {"claim_within_ms": 10}}}, {"claim_max": 3000}),
    ],
)
def test_the_zone_compiles_every_setting(change: dict[str, Any], compiled: dict[str, Any]) -> None:
    found = zone(change)

    assert {key: found[key] for key in compiled} == compiled


def test_campaigns_pools_mpps_and_applications_have_a_field_each() -> None:
    breaker = {"failures_percent": 40}
    policy = {
        **SMALL,
        "mpps": {"m1": {"sip": 50, "h323": 0}},
        "applications": {"ivr": {"mpps": ["m1"], "claim_within_ms": 5000}, "any": {}},
        "campaigns": {
            "a": {
                "limit": 8,
                "guarantee": 1,
                "weight": 2,
                "priority": 3,
                "rate_per_s": 5,
                "burst": 9,
                "pools": ["trunk:x"],
                "allowed_pools": ["agent:*"],
                "answer_within_ms": 20_000,
                "max_call_ms": 30_000,
                "limit_unset": 4,
                "breaker": breaker,
            },
            "*": {},
        },
        "pools": {
            "trunk:x": {"limit": 0, "limit_unset": 2, "breaker": breaker},
            "agent:*": {"max_call_ms": 40_000},
        },
    }
    compiled_breaker = {"failures_percent": 40, "window": 120000, "min_calls": 5, "pause": 60000}

    fields = compile_policy(parse_policy(policy))

    zone = fields.pop("zone")
    assert (zone["guaranteed"], zone["guarantee_total"]) == (f"channel:{policy['channels'][0]}", 1)
    expected = {
        "guarantees": {"a": 1},
        "mpp:m1:sip": {"limit": 50},
        "mpp:m1:h323": {"limit": 0},
        "application:ivr": {"mpps": ["m1"], "claim_within": 5000},
        "application:any": {"mpps": []},
        "campaign:a": {
            "limit": 8, "guarantee": 1, "weight": 2, "priority": 3, "rate_per_s": 5, "burst": 9,
            "pools": ["trunk:x"], "allowed": ["agent:*"], "answer_within": 20000,
            "max_call": 30000, "limit_unset": 4, "breaker": compiled_breaker,
        },
        "campaign:*": {
            "guarantee": 0, "weight": 1, "priority": 0, "rate_per_s": 0, "burst": 0, "pools": [],
        },
        "trunk:x": {"limit": 0, "rate_per_s": 0, "burst": 0, "breaker": compiled_breaker},
        "agent:*": {"rate_per_s": 0, "burst": 0, "max_call": 40000},
    }  # fmt: skip
    assert set(fields) == set(expected)
    for name, rules in expected.items():
        assert {key: fields[name].get(key) for key in rules} == rules
    renamed = {"allowed_pools", "allowed"}
    assert set(fields["campaign:a"]) == service_settings(CampaignPolicy) ^ renamed
    absent = {"limit", "answer_within", "max_call", "breaker"}
    assert not set(fields["campaign:*"]) & {*absent, "allowed"}
    assert set(fields["trunk:x"]) == service_settings(PoolPolicy) - {"answer_within", "max_call"}
    assert not set(fields["agent:*"]) & (absent - {"max_call"})


@pytest.mark.parametrize(
    ("said", "compiled"),
    [
        ({"sip": 50, "rate_per_s": 2.5}, {"rate_per_s": 2.5, "burst": 3}),
        ({"rate_per_s": 5, "burst": 9, "sip": 50}, {"rate_per_s": 5, "burst": 9}),
        ({"sip": 50, "burst": 9}, None),
        ({"sip": 50, "rate_per_s": 0}, None),
    ],
)
def test_an_mpp_may_have_a_rate_beside_its_ports(said: dict[str, Any], compiled: Any) -> None:
    policy = parse_policy({**SMALL, "mpps": {"m1": said}})

    fields = compile_policy(policy)

    assert policy.mpps["m1"].ports == {"sip": 50}
    assert fields.get("mpp:m1") == compiled
    assert fields["mpp:m1:sip"] == {"limit": 50}
    assert json.loads(policy_json(policy))["mpps"]["m1"] == said


KEYS = st.one_of(
    st.sampled_from(["source", "channels", "mpps", "campaigns", "pools", "limit", "*", "sip", "a"]),
    st.text(max_size=5),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(JSON)
def test_no_document_raises_anything_but_invalid(document: Any) -> None:
    for parse in (lambda: parse_policy(document), lambda: from_json(json.dumps(document))):
        with suppress(Invalid):
            parse()


@settings(max_examples=200)
@given(st.sampled_from(sorted(zone({}) | SMALL)) | KEYS, JSON)
def test_no_wrong_key_raises_anything_but_invalid(key: str, value: Any) -> None:
    try:
        policy = parse_policy({**SMALL, key: value})
    except Invalid:
        return
    assert "null" not in json.dumps(compile_policy(policy))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff", "null", '"x"', "1e999"])
def test_a_document_that_is_no_json_object_is_invalid(text: str | bytes) -> None:
    with pytest.raises(Invalid):
        from_json(text)


def test_call_takes_of_a_channel_outside_the_zone_is_ignored():
    policy = parse_policy(SMALL | {"call_takes": {"ivr": ["voice", "ivr"]}})
    assert "ivr" not in compile_policy(policy)["zone"]["takes"]

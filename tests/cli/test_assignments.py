"""What may stand on a command line after `set ZONE`, and what it means."""

from typing import Any

import pytest

from admission.cli.assignments import parse_assignments
from admission.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "patch"),
    [
        ("shadow=true", {"shadow": True}),
        ("headroom = 5", {"headroom": 5}),
        ("headroom=5%", {"headroom": "5%"}),
        ('headroom="5%"', {"headroom": "5%"}),
        ("placement=controller", {"placement": "controller"}),
        ("campaigns.a.weight=0.5", {"campaigns": {"a": {"weight": 0.5}}}),
        ("campaigns.*.limit=1", {"campaigns": {"*": {"limit": 1}}}),
        ('campaigns."a.b".limit=1', {"campaigns": {"a.b": {"limit": 1}}}),
        ("campaigns.'a=b'.limit=1", {"campaigns": {"a=b": {"limit": 1}}}),
        ("pools.trunk:a.limit=1", {"pools": {"trunk:a": {"limit": 1}}}),
        ("campaigns.a.limit=", {"campaigns": {"a": {"limit": None}}}),
        ("campaigns.a=null", {"campaigns": {"a": None}}),
        ('channels=["sip", "h323"]', {"channels": ["sip", "h323"]}),
        ("mpps.m1={ sip = 5 }", {"mpps": {"m1": {"sip": 5}}}),
        ('mpps.m1={"sip": 5, "h323": null}', {"mpps": {"m1": {"sip": 5, "h323": None}}}),
        ("source_zone=a=b", None),
        ("a", None),
        ("=1", None),
        ("a..b=1", None),
        (".a=1", None),
        ("a.=1", None),
        ('a"b=1', None),
        ("a=[1", None),
        ("a=inf", None),
        ("a=nan", None),
        ("a=NaN", None),
        ("a=1, 2", None),
        ("a=1] #", None),
        (" a . b = 1", None),
        ("a=2027-01-01", None),
        ("a=1\nb=2", None),
    ],
)
def test_an_assignment(text: str, patch: Any) -> None:
    if patch is None:
        with pytest.raises(ConfigError):
            parse_assignments([text])
    else:
        assert parse_assignments([text]) == patch


def test_several_make_one_patch() -> None:
    assert parse_assignments(["a.b=1", "a.c=2", "d=3"]) == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize("texts", [["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=1", "a=2"]])
def test_contradictions_are_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match="conflicts"):
        parse_assignments(texts)

"""Whatever a platform sends as JSON, reading it gives an answer or a SourceError."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from admission.config.sources.huawei import HuaweiCmsSettings
from admission.errors import SourceError
from admission.sources.base import LINE_CHARS_MAX
from admission.sources.huawei.cms import COUNTERS, STATUS_COUNTERS, HuaweiCmsSource, _find_counters
from admission.sources.huawei.gateway_client import (
    CALLS_END,
    _describe_code,
    _read_calls,
    parse_guid,
)
from admission.sources.huawei.json_client import _parse_object
from tests.support.secrets import CMS_SECRET

SOURCE = HuaweiCmsSource(
    "cms",
    HuaweiCmsSettings.model_validate(
        {"url": "http://127.0.0.1:9", "access_key": "a", "secret_key": CMS_SECRET}
    ),
)
NAMES = sorted(
    {name for pair in COUNTERS.values() for name in pair} | set(STATUS_COUNTERS.values())
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["0", "-1", " 7 ", "4294967295", "٣", "9" * 5000, CMS_SECRET])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=len(NAMES))


def is_one_line(error: SourceError) -> None:
    """Fit for a log and a status, and without secrets."""
    assert error.detail.isprintable()
    assert len(error.detail) < 2 * LINE_CHARS_MAX
    assert CMS_SECRET not in error.detail


def survives(body: bytes, status: int = 200) -> None:
    """It is read, or refused in one line without secrets; another exception fails the test."""
    try:
        counts = _find_counters(_parse_object(body, status), (CMS_SECRET,))
        snapshot = SOURCE._read_snapshot(counts, list(COUNTERS))
    except SourceError as error:
        is_one_line(error)
        return
    for group in snapshot.groups:
        assert all(isinstance(one, int) for one in (group.total, *group.unused.values()))


@given(st.binary(max_size=200), st.sampled_from([200, 204, 302, 401, 500]))
def test_arbitrary_bytes_are_an_answer_or_a_source_error(body: bytes, status: int) -> None:
    survives(body, status)


@given(VALUES)
def test_any_json_is_an_answer_or_a_source_error(value: Any) -> None:
    survives(json.dumps(value).encode())


@given(
    st.sampled_from(["0", "0100000", "1", 0, None]), COUNTS, st.sampled_from(["resultDesc", "x"])
)
def test_counters_of_any_kind_are_an_answer_or_a_source_error(
    code: Any, counts: dict[str, Any], place: str
) -> None:
    body = {"resultCode": code, place: counts, "resultDatas": [counts]}
    survives(json.dumps(body).encode())


@given(st.integers(1, 2000))
def test_deep_nesting_is_an_answer_or_a_source_error(depth: int) -> None:
    survives(b'{"resultDesc":' + b"[" * depth * 100)
    survives(b'{"resultDesc":' + b"[" * depth + b"]" * depth + b"}")


@given(VALUES)
def test_a_number_of_read_calls_is_one_or_a_source_error(value: Any) -> None:
    try:
        assert 0 <= _read_calls({"result": value}) < CALLS_END
    except SourceError as error:
        is_one_line(error)


@given(st.text(max_size=40), VALUES)
def test_the_fault_of_a_gateway_is_one_line_without_secrets(code: str, words: Any) -> None:
    said = _describe_code(code, words, (CMS_SECRET,))
    assert said.isprintable()
    assert CMS_SECRET not in said


@given(st.text(max_size=300))
def test_a_guid_can_be_sent_in_a_header(text: str) -> None:
    guid = parse_guid(text)
    assert "\n" not in guid
    assert guid.isascii()

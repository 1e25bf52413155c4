"""The log: lines for people or for programs, and decisions for who asks for them."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from admission.config.settings import LogSettings
from admission.telemetry.logs import configure_logging, decisions, log_decision

GRANT: dict[str, Any] = {
    "decision": "grant",
    "zone": "East",
    "campaign": "collections",
    "request_id": "r-1",
    "granted": 1,
    "reservations": [{"id": "East~x7", "report_url": "https://a/r/secret"}],
    "room": 36,
}
DENY: dict[str, Any] = {
    "decision": "deny",
    "zone": "East",
    "campaign": "collections",
    "request_id": "r-2",
    "granted": 0,
    "reservations": [],
    "reason": "mpp_full",
    "pool": "mpp:mpp1:sip",
    "in_use": 50,
    "limit": 50,
    "retry_after_ms": 730,
    "room": 0,
}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Whatever a test configures is undone."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, decisions.level)
    yield
    root.handlers[:], level, of_decisions = before
    root.setLevel(level)
    decisions.setLevel(of_decisions)


def written(capfd: pytest.CaptureFixture[str], **settings: Any) -> list[str]:
    """The lines that a grant and a deny leave."""
    configure_logging(LogSettings(**settings))
    log_decision(GRANT)
    log_decision(DENY)
    return read(capfd).splitlines()


def read(capfd: pytest.CaptureFixture[str]) -> str:
    """All that was logged, once it is written."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "logged"), [("none", []), ("denies", ["deny"]), ("all", ["grant", "deny"])]
)
def test_decisions_are_logged_as_configured(
    capfd: pytest.CaptureFixture[str], wanted: str, logged: list[str]
) -> None:
    lines = written(capfd, format="json", decisions=wanted)
    assert [json.loads(line)["message"] for line in lines] == logged


def test_a_denial_names_the_exhausted_pool(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = written(capfd, format="json", decisions="denies")
    logged = json.loads(line)
    assert logged["time"].endswith("Z")
    assert (logged["level"], logged["logger"]) == ("info", "admission.decisions")
    wanted = ("zone", "campaign", "request_id", "reason", "pool", "in_use", "limit")
    assert {name: logged[name] for name in wanted} == {name: DENY[name] for name in wanted}


def test_report_links_are_in_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(written(capfd, format="json", decisions="all"))
    assert "East~x7" in text
    assert "secret" not in text


def test_the_text_format_has_the_fields_after_the_message(
    capfd: pytest.CaptureFixture[str],
) -> None:
    (line,) = written(capfd, decisions="denies")
    assert " INFO    admission.decisions: deny zone=East campaign=collections " in line
    assert "reason=mpp_full pool=mpp:mpp1:sip in_use=50 limit=50" in line


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_trace_is_kept(capfd: pytest.CaptureFixture[str], form: Any) -> None:
    configure_logging(LogSettings(format=form))
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("admission.x").error("it %s", "failed", exc_info=sys.exc_info())
    text = read(capfd)
    if form == "json":
        logged = json.loads(text)
        assert (logged["message"], logged["level"]) == ("it failed", "error")
        text = logged["exception"]
    assert "RuntimeError: broken" in text


def test_records_below_the_level_are_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="error"))
    logging.getLogger("admission.x").warning("never mind")
    assert read(capfd) == ""


def test_denies_are_logged_whatever_the_level_of_the_rest(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert len(written(capfd, level="error", decisions="denies")) == 1


def test_a_line_that_cannot_be_formatted_is_named_by_its_place(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging(LogSettings())
    logging.getLogger("admission.x").warning("%d", "no number")
    assert re.search(r"ERROR .*a line cannot be formatted: \S*test_logs\.py:\d+", read(capfd))


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_line_has_no_characters_that_a_terminal_obeys(
    capfd: pytest.CaptureFixture[str], format: Any
) -> None:
    configure_logging(LogSettings(format=format))
    try:
        raise RuntimeError("trace\x1b[2J")
    except RuntimeError:
        fields = {"name": "field\u202e"}
        logger = logging.getLogger("admission.x")
        logger.exception("message\r%s", "\x9b", extra={"fields": fields})
    lines = read(capfd).splitlines()
    assert all(line.isprintable() for line in lines)
    assert "trace" in lines[-1]
    assert "RuntimeError" in lines[-1]


@pytest.mark.parametrize("is_wanted", [True, False])
def test_changes_by_operators_are_logged_as_configured(
    capfd: pytest.CaptureFixture[str], is_wanted: bool
) -> None:
    configure_logging(LogSettings(audit=is_wanted))
    logging.getLogger("admission.audit").info("pause East by ann")
    assert ("pause East by ann" in read(capfd)) is is_wanted

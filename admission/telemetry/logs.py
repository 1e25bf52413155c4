"""The log of the service: plain lines or JSON; decisions if they are configured.

Decisions have a logger of their own: denials are INFO on it, grants DEBUG. A decision that
`log.decisions` excludes costs one comparison of levels.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TypeAlias

from admission.config import LogSettings
from admission.domain import Answer
from admission.domain.visible_text import make_visible
from admission.telemetry.line_queue import LineQueue

decisions: Final = logging.getLogger("admission.decisions")
# Changes by operators, which the middleware of the HTTP API logs.
audit: Final = logging.getLogger("admission.audit")
# The output of a started service on standard output: its address and first commands.
terminal: Final = logging.getLogger("admission.terminal")

STDOUT: Final = 1
STDERR: Final = 2

ExceptionInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

_DECISIONS_LEVEL: Final = {
    "none": logging.CRITICAL,
    "denies": logging.INFO,
    "all": logging.DEBUG,
}
_FIELDS: Final = (
    "zone", "campaign", "channel", "request_id", "granted", "reason", "pool", "in_use", "limit",
    "retry_after_ms", "room", "repeated", "shadow", "dry_run",
)  # fmt: skip


def configure_logging(
    settings: LogSettings, on_dropped: Callable[[], object] = lambda: None
) -> None:
    """One line a record on standard error, from here on, and `terminal` on standard output.

    Args:
        settings: level, form, decisions.
        on_dropped: called for each line that is dropped because the log is not read.
    """
    formatter = JsonLines() if settings.format == "json" else PlainLines()
    lines = LineQueue(STDERR, formatter, on_dropped)
    logging.basicConfig(level=settings.level.upper(), handlers=[lines], force=True)
    decisions.setLevel(_DECISIONS_LEVEL[settings.decisions])
    audit.setLevel(logging.INFO if settings.audit else logging.CRITICAL)
    terminal.handlers[:] = [LineQueue(STDOUT, logging.Formatter())]
    terminal.setLevel(logging.INFO)
    terminal.propagate = False


def log_decision(answer: Answer) -> None:
    """A line for this decision, if decisions of its kind are wanted."""
    level = logging.DEBUG if answer["granted"] else logging.INFO
    if decisions.isEnabledFor(level):
        fields = {name: answer[name] for name in _FIELDS if answer.get(name) is not None}
        ids = [one["id"] for one in answer.get("reservations") or ()]
        shown = fields | ({"reservations": ids} if ids else {})
        decisions.log(level, answer["decision"], extra={"fields": shown})


class PlainLines(logging.Formatter):
    """Plain text: time, level, logger, message, then fields as name=value; all of it visible."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, without a trace."""
        fields = "".join(f" {name}={value}" for name, value in _get_fields(record).items())
        return make_visible(super().formatMessage(record) + fields, keep="\t")

    def formatException(self, ei: ExceptionInfo) -> str:
        """The trace, with its line ends."""
        return make_visible(super().formatException(ei), keep="\n\t")


class JsonLines(logging.Formatter):
    """One JSON object in each line; `time` is UTC (RFC 3339) to the millisecond."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a trace is the text of `exception`."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_get_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _get_fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})

"""Lines for a terminal or a log collector, written by a thread of their own.

The reader of standard error may stall: a pipe is full, a terminal is stopped. The event loop must
not wait for it, so it only puts lines into a bounded queue. A full queue drops the line and counts
it; once the reader goes on, a line of the log reports the number. At exit the queue gets a second
to empty itself.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener
from typing import Final, TypeAlias

LINES_MAX: Final = 5_000
FLUSH_S: Final = 1.0

Fields: TypeAlias = dict[str, object]

log = logging.getLogger(__name__)


class LineQueue(QueueHandler):
    """A handler that formats a record, and lets its own thread write the line.

    Args:
        descriptor: of the file to write to.
        formatter: of the lines.
        on_dropped: called for each line that is dropped, by the thread that logged it.
    """

    queue: "queue.Queue[logging.LogRecord]"

    def __init__(
        self,
        descriptor: int,
        formatter: logging.Formatter,
        on_dropped: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(queue.Queue(LINES_MAX))
        self.setFormatter(formatter)
        self._on_dropped = on_dropped
        self._dropped = 0
        self._counting = threading.Lock()
        writer = _DescriptorWriter(descriptor, self._take_drop_report)
        # Its thread is a daemon: the interpreter does not wait for it.
        QueueListener(self.queue, writer).start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a formatted record, or drop and count it."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            with self._counting:
                self._dropped += 1
            self._on_dropped()

    def handleError(self, record: logging.LogRecord) -> None:
        """Queue the place of a record that cannot be formatted; `logging` would wait for stderr."""
        message = "a line cannot be formatted: %s:%s"
        self.enqueue(self._make_line(logging.ERROR, message, (record.pathname, record.lineno)))

    def flush(self) -> None:
        """Wait until all lines are written, for a second at most. `logging` calls it at exit."""
        lines = self.queue
        with lines.all_tasks_done:
            lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, FLUSH_S)

    def _take_drop_report(self) -> str:
        """A line on what was dropped since the last one; empty if nothing was."""
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        if not dropped:
            return ""
        message = "%d lines were dropped: the log is not read, or not fast enough"
        line = self._make_line(logging.WARNING, message, (dropped,), {"dropped": dropped})
        return line.getMessage() + "\n"

    def _make_line(
        self, level: int, message: str, values: tuple[object, ...], fields: Fields | None = None
    ) -> logging.LogRecord:
        extra = {"fields": fields or {}}
        record = log.makeRecord(log.name, level, __file__, 0, message, values, None, extra=extra)
        line: logging.LogRecord = self.prepare(record)
        return line


class _DescriptorWriter(logging.Handler):
    """Writes to a descriptor without the buffer of `sys.stderr`.

    That buffer has a lock, which the interpreter takes at exit: it would wait there for a thread
    that is blocked by the reader.
    """

    def __init__(self, descriptor: int, take_drop_report: Callable[[], str]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._take_drop_report = take_drop_report

    def createLock(self) -> None:
        """No lock: one thread writes, and `logging.shutdown` must not wait for it."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a line without a lock: from Python 3.13 on the inherited one needs a lock."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line. A closed pipe or a full disk loses it: there is no place to report it."""
        text = f"{record.getMessage()}\n{self._take_drop_report()}"
        rest = text.encode("utf-8", "backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            pass

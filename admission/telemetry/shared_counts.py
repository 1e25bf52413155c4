# mypy: disable-error-code="no-untyped-call"
"""Counts that several processes keep together, in files that they map (prometheus_client).

A write to a mapped page for which the disk has no space ends the process (SIGBUS), and a file that
cannot be read must not hide the others. Therefore:

* Space is reserved before it is mapped. Without space a count stays in its process, which tries to
  share it again from time to time; until then a scrape shows the counts of the scraped process.
* A scrape leaves out what it cannot read.
* The counts of ended processes are added up in one file of each type, so that processes that end
  again and again do not fill the disk.

A lock on the folder keeps a scrape from reading counts while they move.
"""

import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

RETRY_S: Final = 10.0
_ENDED: Final = "ended"
_LOCK: Final = "lock"
_FIRST_BYTES: Final = 1 << 16


class ReservedFile(MmapedDict):
    """Counts in a file whose space is reserved; those without space are kept by the process.

    Args:
        filename: created if it is not there.
        read_mode: False; prometheus_client passes it.
        retry_s: seconds between attempts to share a count for which there was no space.

    Attributes:
        unshared: count -> value and time stamp, of those that no other process can read.
    """

    def __init__(self, filename: str, read_mode: bool = False, *, retry_s: float = RETRY_S) -> None:
        self.unshared: dict[str, tuple[float, float]] = {}
        self._path = filename
        self._retry_s = retry_s
        self._try_at = 0.0
        self._f: Any = None
        self._positions: dict[str, int] = {}
        _FILES.append(self)
        with self._reports_failure():
            self._open()

    def read_value(self, key: str) -> tuple[float, float]:
        """The value of a count and its time stamp; a new one is 0."""
        if key not in self._positions and key not in self.unshared:
            self.write_value(key, 0.0, 0.0)
        found: tuple[float, float] = self.unshared.get(key) or super().read_value(key)
        return found

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a count, in the file if it has space."""
        if key in self._positions or self._place(key):
            self.unshared.pop(key, None)
            super().write_value(key, value, timestamp)
        else:
            self.unshared[key] = (value, timestamp)

    def close(self) -> None:
        """Close the file."""
        if self in _FILES:
            _FILES.remove(self)
        super().close()

    def _open(self) -> None:
        # prometheus_client would create the file with a size for which there may be no space.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size == 0:
                os.posix_fallocate(descriptor, 0, _FIRST_BYTES)
        except OSError:
            os.unlink(self._path)
            raise
        finally:
            os.close(descriptor)
        try:
            super().__init__(self._path)
        except OSError:
            self._f = None
            raise

    def _place(self, key: str) -> bool:
        """Reserve a place in the file. Returns: whether there is one."""
        now = time.monotonic()
        if now < self._try_at:
            return False
        with self._reports_failure():
            if self._f is None:
                self._open()
            # An entry has the key, padded, and up to 28 bytes more. `_init_value` doubles a file
            # that is too small for it.
            if self._used + len(key.encode()) + 32 > self._capacity:
                os.posix_fallocate(self._f.fileno(), self._capacity, self._capacity)
            super()._init_value(key)
            return True
        return False

    @contextmanager
    def _reports_failure(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as fault:
            if not self._try_at:
                reason = getattr(fault, "strerror", None) or fault
                log.warning(
                    "metrics: %s has no space for counts (%s): this worker counts by itself, and "
                    "tries again every %d s", self._path, reason, self._retry_s,
                )  # fmt: skip
            self._try_at = time.monotonic() + self._retry_s


_FILES: Final[list[ReservedFile]] = []


def use_reserved_files() -> None:
    """Let prometheus_client count in `ReservedFile`s, if it counts in files; before any metric."""
    values.MmapedDict = ReservedFile  # type: ignore[attr-defined]


def is_sharing() -> bool:
    """Whether other processes can read all counts of this one."""
    return not any(one.unshared for one in _FILES)


class SharedCounts(Collector):
    """The sums over all processes that count in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._reported: set[Path] = set()

    def collect(self) -> Iterable[Metric]:
        """All metrics; raises OSError if the folder cannot be read."""
        with _locked(self._folder, fcntl.LOCK_SH):
            files = [one for one in sorted(self._folder.glob("*.db")) if self._is_readable(one)]
            merge = MultiProcessCollector.merge
            return list(merge([str(one) for one in files]))

    def _is_readable(self, file: Path) -> bool:
        try:
            with file.open("rb") as opened:
                used = int.from_bytes(opened.read(4), sys.byteorder, signed=True)
            assert used >= 0, "a file has a size"
            for key, *_ in MmapedDict.read_all_values_from_file(file):
                name, _, labels, _ = json.loads(key)
                assert isinstance(name, str), "a count has a name"
                assert isinstance(labels, dict), "a count has labels"
        except Exception as fault:
            if file not in self._reported:
                log.warning("metrics: %s cannot be read (%r) and is left out", file.name, fault)
                self._reported.add(file)
            return False
        return True


def absorb(folder: Path, pid: int) -> None:
    """Add the counts of an ended process to those of all that ended, and remove its files."""
    with suppress(OSError), _locked(folder, fcntl.LOCK_EX):
        for file in folder.glob(f"*_{pid}.db"):
            kind = file.name.removesuffix(f"_{pid}.db")
            total = ReservedFile(str(folder / f"{kind}_{_ENDED}.db"), retry_s=0)
            try:
                _add(file, total)
                file.unlink()
            except Exception as fault:
                log.warning("metrics: the counts of %s are lost: %r", file.name, fault)
                if not total.unshared:
                    file.unlink(missing_ok=True)
            finally:
                total.close()


def _add(file: Path, total: ReservedFile) -> None:
    for key, value, timestamp, _ in list(MmapedDict.read_all_values_from_file(file)):
        total.write_value(key, total.read_value(key)[0] + value, timestamp)
    if total.unshared:
        raise OSError("no space to add them up")


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)

"""Workers count together in files of TMPDIR: deciding and zone metrics never depend on them."""

import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.test_supervisor import asks, start, until, workers
from tests.support.service_process import ServiceProcess
from tests.support.small_disk import mount_small_disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB for TMPDIR."""
    with mount_small_disk(tmp_path / "scratch", "256k") as folder:
        yield folder


def fill(disk: Path) -> None:
    with (disk / "full").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def scrape(service: ServiceProcess) -> str:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=60) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def counted(text: str) -> int:
    found = re.findall(r"^admission_decisions_total{.*} (\d+)", text, re.MULTILINE)
    return sum(map(int, found))


@pytest.mark.parametrize("when", ["before the start", "after the start"])
def test_a_full_tmpdir_changes_no_answer(tmp_path: Path, small_disk: Path, when: str) -> None:
    if when == "before the start":
        fill(small_disk)
    service = start(tmp_path, TMPDIR=str(small_disk))
    pids = workers(service)
    fill(small_disk)
    asks(service, 30)
    text = scrape(service)
    assert 'admission_zone_up{zone="East"} 1.0' in text
    assert "admission_decisions_total" in text  # of the scraped worker at least
    assert workers(service) == pids
    code, errors = service.stop(signal.SIGTERM)
    assert (code, "Traceback" in errors) == (0, False), errors
    if when == "after the start":  # before it, Python chooses another folder for scratch files
        assert "counts by itself" in errors
    assert [one.name for one in small_disk.iterdir()] == ["full"]


def test_counts_are_shared_again_once_there_is_space(tmp_path: Path, small_disk: Path) -> None:
    fill(small_disk)
    service = start(tmp_path, TMPDIR=str(small_disk))
    asks(service, 20)
    (small_disk / "full").unlink()
    asks(service, 20)
    until("all counts are shared", lambda: (asks(service, 1), counted(scrape(service)) >= 41)[1])
    service.stop(signal.SIGTERM)


def metrics_folder(service: ServiceProcess) -> Path:
    environ = Path(f"/proc/{workers(service)[0]}/environ").read_bytes().split(b"\0")
    found = dict(one.split(b"=", 1) for one in environ if b"=" in one)
    return Path(os.fsdecode(found[b"PROMETHEUS_MULTIPROC_DIR"]))


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 64, b"\x40\0\0\0" + bytes(8)])
def test_a_broken_file_of_counts_hides_no_other(tmp_path: Path, content: bytes) -> None:
    service = start(tmp_path)
    (metrics_folder(service) / "counter_1.db").write_bytes(content)
    asks(service, 10)
    text = scrape(service)
    assert 'admission_zone_up{zone="East"} 1.0' in text
    assert counted(text) == 10
    _, errors = service.stop(signal.SIGTERM)
    assert "counter_1.db cannot be read" in errors


def test_workers_that_end_leave_no_files_and_their_counts(tmp_path: Path) -> None:
    service = start(tmp_path)
    folder = metrics_folder(service)
    asks(service, 10)
    before = workers(service)
    for pid in before:
        os.kill(pid, signal.SIGBUS)
    until("other workers", lambda: len({*workers(service)} - {*before}) == 2)
    until("an answer", lambda: answers(service))
    gone = [f"*_{pid}.db" for pid in before]
    until("no files of them", lambda: not any(file for one in gone for file in folder.glob(one)))
    assert counted(scrape(service)) >= 10
    _, errors = service.stop(signal.SIGTERM)
    assert "SIGBUS" in errors
    assert not folder.exists()


def answers(service: ServiceProcess) -> bool:
    try:
        return service.call("GET", "/healthz")[0] == 200
    except OSError:
        return False

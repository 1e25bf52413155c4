"""The table's own tests; they are quick, so `make test` runs them."""

from pathlib import Path

import pytest

from tests.faults.table import record, render, rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADMISSION_FAULTS_DIR", str(tmp_path))
    return tmp_path


def test_a_recorded_row_becomes_a_line_of_its_group(folder: Path) -> None:
    record(
        "kill -9",
        sent=10,
        answered=9,
        grants=4,
        over_launches=0,
        leaked=0,
        resumed_s=1.26,
        slowest_s=0.91,
    )
    record("a 100 MB answer", answered=3, group="Platform")

    page = render(rows(folder))

    assert "| kill -9 | 10 | 9 | 4 | 0 | 0 | 1.3 | 0.9 |" in page
    assert "| a 100 MB answer |  | 3 |  |  |  |  |  |" in page
    assert page.index("## Redis") < page.index("kill -9") < page.index("## Platform")
    assert "## Network" not in page


def test_a_row_recorded_again_replaces_the_old_one(folder: Path) -> None:
    record("kill -9", sent=1)
    record("kill -9", sent=2)

    assert [row.sent for row in rows(folder)] == [2]


def test_an_unknown_group_is_refused(folder: Path) -> None:
    with pytest.raises(AssertionError, match="no such group"):
        record("kill -9", group="Weather")

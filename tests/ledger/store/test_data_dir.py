"""The data folder of the embedded server, without a server."""

import os
import tempfile
from pathlib import Path

import pytest

from admission.errors import ConfigError
from admission.ledger.store.embedded.data_dir import DataDirectory


def test_a_short_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40)
    short = DataDirectory(data).socket.parent
    short.chmod(0o755)
    with pytest.raises(ConfigError, match="not private"):
        DataDirectory(data)
    short.rmdir()


@pytest.mark.parametrize("whose", ["another user's", "a link's"])
def test_a_short_folder_that_is_not_our_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data, we = tmp_path / ("long" * 40), os.getuid()
    if whose == "a link's":
        short = DataDirectory(data).socket.parent
        short.rename(tmp_path / "elsewhere")
        short.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(os, "getuid", lambda: we + 1)
    with pytest.raises(ConfigError, match="not private"):
        DataDirectory(data)


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make"):
        DataDirectory(tmp_path / "file" / "data")


def test_redis_7_names_its_damaged_file(tmp_path: Path) -> None:
    said = (
        "12:M # Bad file format reading the append only file appendonly.aof.1.incr.aof: "
        "make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>"
    )
    path = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
    assert DataDirectory(tmp_path).damaged_file(said) == path


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o772])
def test_a_folder_that_other_users_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=r"other users may write in .*: chmod go-w"):
        DataDirectory(folder)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
def test_a_folder_that_others_may_only_read_is_accepted(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    DataDirectory(folder).write_config("everysec")


@pytest.mark.parametrize(
    "name", ["redis.conf", "redis.log", "service.lock", "appendonlydir", "appendonlydir/a.aof"]
)
def test_a_symbolic_link_in_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    link = tmp_path / "data" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    with pytest.raises(ConfigError, match="is a symbolic link"):
        DataDirectory(tmp_path / "data")
    assert target.read_text() == "precious"


def test_a_link_that_appears_later_is_not_followed(tmp_path: Path) -> None:
    folder, target = DataDirectory(tmp_path / "data"), tmp_path / "elsewhere"
    target.write_text("precious")
    folder.config.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        folder.write_config("everysec")
    assert target.read_text() == "precious"

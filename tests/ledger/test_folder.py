"""The data folder of the embedded server, without a server."""

from pathlib import Path

import pytest

from admission.errors import ConfigError
from admission.ledger.folder import Folder


def test_a_short_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40)
    short = Folder(data).socket.parent
    short.chmod(0o755)
    with pytest.raises(ConfigError, match="not private"):
        Folder(data)
    short.rmdir()


def test_redis_7_names_its_damaged_file(tmp_path: Path) -> None:
    said = (
        "12:M # Bad file format reading the append only file appendonly.aof.1.incr.aof: "
        "make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>"
    )
    path = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
    assert Folder(tmp_path).damaged_file(said) == path

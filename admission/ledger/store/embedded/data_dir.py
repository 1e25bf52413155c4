"""The private data directory of the embedded server: locks, socket, configuration, log, data.

    service.lock   locked by the service that owns the directory; contains the service's pid
    server.lock    locked by the server process, which inherits it; contains the server's pid
    redis.sock     where the server listens
    redis.conf     written at every start
    redis.log      the output of the server; redis.log.1 is older
    appendonly*    the data

Both locks are `flock`s: the kernel releases them when the last process that has them open ends, so
a crash leaves no stale lock, whatever pid the file contains.
"""

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import IO

from admission.errors import ConfigError

SOCKET_PATH_BYTES_MAX = 100  # Linux takes 107, macOS 103
LOG_BYTES_MAX = 1_000_000
LOG_TAIL_BYTES = 2_000


class DataDirectory:
    """Paths and files of one data directory; created, private, if it does not exist.

    An existing directory keeps its mode: the umask makes the server's own files private. It is
    refused if other users may write in it: they could replace the data, or let the service write
    elsewhere by a symbolic link.

    Example:
        directory = DataDirectory(Path("data"))
        lock = directory.lock("service")

    Args: path: the `redis.data_dir` of the configuration.
    Raises: ConfigError: it cannot be made, is not safe, or there is nowhere to put the socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"redis.data_dir: cannot make {self.path}: {exc.strerror}") from exc
        _require_safe(self.path)
        self.socket = _choose_socket_path(self.path)
        self.config = self.path / "redis.conf"
        self.log = self.path / "redis.log"
        self.data = self.path / "appendonlydir"  # of Redis 7 and newer, and Valkey

    def lock(self, name: str) -> IO[str] | None:
        """Lock `name`.lock; None if another process has it. Closing the file unlocks it.

        Raises: ConfigError: the folder is not writable, or its file system has no locks.
        """
        path = self.path / f"{name}.lock"
        try:
            file = open(path, "a+", opener=_open_private)  # noqa: SIM115  open for as long as locked
        except OSError as exc:
            raise ConfigError(f"redis.data_dir: cannot write {path}: {exc.strerror}") from exc
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError as exc:
            file.close()
            raise ConfigError(f"redis.data_dir: cannot lock {path}: {exc.strerror}") from exc
        return file

    def holder(self, name: str) -> int | None:
        """The pid in `name`.lock; meaningful only while the lock is taken."""
        try:
            return int((self.path / f"{name}.lock").read_text())
        except (OSError, ValueError):
            return None

    def write_config(self, durability: str) -> None:
        """Write redis.conf. Args: durability: of `appendfsync`: `everysec` or `always`."""
        options = {
            "port": "0",
            "unixsocket": _quote(self.socket),
            "unixsocketperm": "700",
            "protected-mode": "yes",
            "dir": _quote(self.path),
            "daemonize": "no",
            "databases": "1",
            "loglevel": "warning",
            "logfile": '""',
            "save": '""',
            "appendonly": "yes",
            "appendfsync": durability,
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
        }
        text = "".join(f"{name} {value}\n" for name, value in options.items())
        with open(self.config, "w", opener=_open_private) as file:
            file.write("# Written anew at every start of the service.\n" + text)

    def open_log(self) -> IO[bytes]:
        """The server's log, rotated first if it has grown too long."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        return open(self.log, "ab", opener=_open_private)

    def log_since(self, offset_bytes: int) -> str:
        """The tail of the server's log after `offset_bytes`."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset_bytes, size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")

    def has_two_data_sets(self) -> bool:
        """Redis 6.2 and 7 write to different places; 7 moves the data of 6.2, 6.2 ignores 7's."""
        return (self.path / "appendonly.aof").exists() and self.data.exists()

    def damaged_file(self, log: str) -> Path:
        """The append-only file that, by the server's log, could not be read."""
        named = re.search(r"append only file ([\w.-]+): make", log)
        if named:  # Redis 7 and newer name the file
            return self.data / named[1]
        return self.path / "appendonly.aof"


def _require_safe(folder: Path) -> None:
    """Raise `ConfigError` if other users may write in the folder, or it has a symbolic link."""
    try:
        if stat.S_IMODE(folder.stat().st_mode) & 0o022:
            raise ConfigError(
                f"redis.data_dir: other users may write in {folder}: chmod go-w {folder}"
            )
        for parent in (folder, folder / "appendonlydir"):
            for entry in parent.iterdir() if parent.is_dir() else ():
                if entry.is_symlink():
                    raise ConfigError(f"redis.data_dir: {entry} is a symbolic link: remove it")
    except OSError as exc:
        raise ConfigError(f"redis.data_dir: cannot read {folder}: {exc.strerror}") from exc


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _quote(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def _choose_socket_path(folder: Path) -> Path:
    """In the folder, or, where that path is too long for a socket, in a short private folder.

    The short one is found again by a digest of the long one, and must be ours alone.
    """
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir(), f"admission-{os.getuid()}-{digest}")
    try:
        short.mkdir(mode=0o700, exist_ok=True)
        state = short.lstat()
    except OSError as exc:
        raise ConfigError(f"redis.data_dir is too long for a socket, and {short}: {exc}") from exc
    ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
    if not ours or stat.S_IMODE(state.st_mode) & 0o077:
        raise ConfigError(
            f"redis.data_dir is too long for a socket, and {short} is not private; choose a "
            "shorter redis.data_dir or remove that folder"
        )
    return short / "redis.sock"

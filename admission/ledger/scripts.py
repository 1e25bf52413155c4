"""The Lua scripts, from lua/ in a checkout or from inside the wheel: the whole, and small ones."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal

# A file is a module of the script and runs when it is first wanted in a call. Few calls want those
# of RARE: they are not even defined before.
HOT: Final = (
    "clock", "asked", "record", "ceiling", "room", "pool", "occupancy", "share", "rate", "request",
    "candidate", "checks", "easy", "grants", "admit", "ending", "report",
)  # fmt: skip
RARE: Final = (
    "adaptive", "hungry", "hunger", "breaker", "adopt", "due", "ingest", "lease", "read", "policy",
    "limit", "passing", "wake", "queue", "wait", "audit", "denied",
)  # fmt: skip
MODULES: Final = (*HOT, *RARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script and the SHA1 by which Redis knows it."""

    source: str
    sha: str


def folder() -> Traversable:
    """Where the Lua files are.

    Raises:
        FileNotFoundError: neither beside the package nor inside it.
    """
    checkout = Path(__file__).parents[2] / "lua"
    for place in (checkout, files("admission") / "lua"):
        if (place / "apply.lua").is_file():
            return place
    raise FileNotFoundError("the Lua scripts are missing from this installation of admission")


@cache
def load(clock: Literal["server", "test"] = "server") -> Script:
    """The whole script.

    Args:
        clock: `server` reads Redis TIME and INFO; `test` reads both from keys that a test sets.
    """
    files = {name: "clock_test" if (name, clock) == ("clock", "test") else name for name in MODULES}
    hot, rare = ("\n".join(_module(name, files[name]) for name in some) for some in (HOT, RARE))
    defined = f"local function define()\n{hot}end\ndefine()\ndefine_rare = function()\n{rare}end\n"
    return _script("\n".join((_read("prelude"), defined, _read("apply"))))


def _module(name: str, file: str) -> str:
    return f"modules.{name} = function()\n{_read(file)}end\n"


@cache
def load_alone(name: str) -> Script:
    """A script that is one file and no part of the whole."""
    return _script(_read(name))


def _script(source: str) -> Script:
    return Script(source=source, sha=sha1(source.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return (folder() / f"{name}.lua").read_text(encoding="utf-8")

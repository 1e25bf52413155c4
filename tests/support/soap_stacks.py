"""Other people's SOAP stacks: their generators, their clients and their servers, for real.

`make stacks` fetches their libraries; tests/sources/stacks has the few lines of Java and node that
use what they generate.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import ROOT
from tests.support.tools import REQUIRED, tool

SOURCES: Final = ROOT / "tests/sources/stacks"
LIBRARIES: Final = ROOT / ".venv/stacks"
GENERATED_IN: Final = 120  # seconds, also of a busy machine
# A program that ends within seconds is compiled for nothing: no second compiler, no second thread.
JAVA: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# Stack -> its generator; the WSDL, the folder and the port stand for the words in capitals.
GENERATORS: Final[Mapping[str, str]] = {
    "axis1": "org.apache.axis.wsdl.WSDL2Java -o OUT WSDL",
    "axis2": "org.apache.axis2.wsdl.WSDL2Java -uri WSDL -o OUT -d adb -s -pn PORT",
    "cxf": "org.apache.cxf.tools.wsdlto.WSDLToJava -d OUT WSDL",
    "metro": "com.sun.tools.ws.WsImport -quiet -Xnocompile -d OUT WSDL",
}
# Of servers: what the skeleton of a service needs too.
SKELETONS: Final[Mapping[str, str]] = {
    "axis1": "org.apache.axis.wsdl.WSDL2Java -s -S true -d Application -o OUT WSDL",
    "axis2": "org.apache.axis2.wsdl.WSDL2Java -uri WSDL -o OUT -d adb -ss -sd -pn PORT",
}
PORT: Final = "Soap11"  # the port's name ends so


def libraries(stack: str) -> Path:
    """The folder with a stack's libraries; a test is skipped where they were not fetched."""
    tool("javac")
    tool("mvn")
    return _fetched(stack)


def node_modules() -> Path:
    """The folder with node's packages; a test is skipped where they were not fetched."""
    tool("node")
    tool("npm")
    return _fetched("node") / "node_modules"


def _fetched(name: str) -> Path:
    if (found := LIBRARIES / name).is_dir():
        return found
    reason = "the libraries of SOAP stacks are not here: make stacks"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def class_path(stack: str, *folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), f"{libraries(stack)}/*"])


def java() -> tuple[str, ...]:
    """The command of Java, for programs that run for seconds."""
    return (tool("java"), *JAVA)


def run_program(*command: str, cwd: Path | None = None) -> str:
    """Run a program to its end. Returns its output; a failure shows what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=GENERATED_IN, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command)[:300]}\n{done.stdout}\n{done.stderr}"[-6000:]
    return done.stdout


def generate(stack: str, wsdl: str, service: str, folder: Path, *, server: bool = False) -> Path:
    """Generate a stack's classes from a WSDL. Returns the folder of the sources."""
    folder.mkdir()
    (folder.parent / f"{folder.name}.wsdl").write_text(wsdl)
    words = {"OUT": str(folder), "WSDL": f"{folder}.wsdl", "PORT": service + PORT}
    command = (SKELETONS if server else GENERATORS)[stack].split()
    run_program(*java(), "-cp", class_path(stack), *(words.get(one, one) for one in command))
    return folder


def compile_sources(
    stack: str, folder: Path, sources: Sequence[Path], service: str, *generated: Path
) -> Path:
    """Compile generated classes with ours, in which PortalService stands for the service's name.

    Returns the folder of the classes.
    """
    ours, classes = folder / "ours", folder / "classes"
    ours.mkdir()
    classes.mkdir()
    named = {one.name.replace("PortalService", service): one for one in sources}
    for name, one in named.items():
        (ours / name).write_text(one.read_text().replace("PortalService", service))
    files = [
        str(one) for root in generated for one in root.rglob("*.java") if one.name not in named
    ]
    files += [str(one) for one in ours.iterdir()]
    compiler = (tool("javac"), *(f"-J{one}" for one in JAVA))
    run_program(*compiler, "-nowarn", "-cp", class_path(stack), "-d", str(classes), *files)
    return classes


@asynccontextmanager
async def running(
    *command: str, cwd: Path, ready: str = r"ready (\d+)"
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Run a server. Yields the port that it says it listens on, and the program."""
    log = cwd / "server.log"
    with log.open("wb") as file:
        program = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, stdin=asyncio.subprocess.PIPE, stdout=file, stderr=file
        )
    try:
        async with asyncio.timeout(GENERATED_IN):
            while not (found := re.search(ready, log.read_text(errors="replace"))):
                assert program.returncode is None, log.read_text(errors="replace")[-4000:]
                await asyncio.sleep(0.05)
        yield int(found[1]), program
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


def install_node_client(folder: Path) -> Path:
    """Our client of node's `soap`, where node finds the package. Returns its path."""
    modules = node_modules()
    shutil.copy(SOURCES / "node/client.js", folder)
    (folder / "node_modules").symlink_to(modules)
    return folder / "client.js"

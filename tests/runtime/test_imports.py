"""The modules that a start of the service imports, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

from admission import __version__

POLICY = """
[zones.East]
source = "static"
channels = ["sip"]
[zones.East.capacity]
sip = 10
[zones.East.campaigns."*"]
"""
# Everything of `serve` but the requests: the function that opens the service prints the modules.
SERVE = """
import asyncio, json, os, pathlib, sys
from admission.runtime import serve

async def print_modules(*_: object, **__: object) -> None:
    print(json.dumps(sorted(sys.modules)))

serve.serve_in_process = print_modules
path = None if sys.argv[1] == "demo" else pathlib.Path(sys.argv[1])
asyncio.run(serve.serve(path, dict(os.environ)))
"""


def run_python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def list_modules(folder: Path, config: str) -> set[str]:
    return set(json.loads(run_python(folder, "-c", SERVE, config)))


def test_a_service_with_a_file_never_imports_the_simulator_nor_the_demo(tmp_path: Path) -> None:
    (tmp_path / "east.toml").write_text(POLICY)
    found = list_modules(tmp_path, "east.toml")
    assert "admission.http.app" in found  # the service itself was imported
    assert not {name for name in found if name.startswith(("admission.sim", "admission.demo"))}


def test_the_built_in_demo_imports_the_simulator(tmp_path: Path) -> None:
    assert "admission.sim.experience_portal.app" in list_modules(tmp_path, "demo")


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    assert __version__ in run_python(tmp_path, "-m", "admission", "--version")

"""The load generator: wrk if installed, else benchmarks/loader.py, in its own process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "wrk"
CONNECTIONS = 64


def tool() -> str:
    """Which one drives."""
    return "wrk" if shutil.which("wrk") else "built-in"


def drive(
    port: int, script: str, seconds: float, connections: int = CONNECTIONS, **env: str
) -> dict[str, Any]:
    """Load a server; what was counted: requests (or pairs) a second, p50 and p99 in ms, errors.

    Args:
        script: `one` or `pairs`, in benchmarks/wrk.
        env: what the script reads.
    """
    url = f"http://127.0.0.1:{port}"
    if shutil.which("wrk"):
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "-s",
            str(SCRIPTS / f"{script}.lua"),
            url,
        ]
    else:
        command = [
            sys.executable,
            "-m",
            "benchmarks.loader",
            script,
            url,
            str(connections),
            str(seconds),
        ]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=True)
    line = next(one for one in done.stdout.splitlines() if one.startswith("FOUND "))
    return _rates(json.loads(line.removeprefix("FOUND ")))


def _rates(found: dict[str, Any]) -> dict[str, Any]:
    seconds = found["us"] / 1e6
    done = found.get("pairs", found["requests"])
    return {
        "per_s": done / seconds,
        "requests_per_s": found["requests"] / seconds,
        "p50_ms": found["p50_us"] / 1000,
        "p99_ms": found["p99_us"] / 1000,
        "errors": found["errors"],
    }

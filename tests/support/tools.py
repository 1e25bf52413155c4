"""Programs that some tests use beside Python: where one is missing the test is skipped.

With ADMISSION_REQUIRE_TOOLS=1, as continuous integration sets it, a missing one is a failure.
`python3 tests/support/tools.py` prints the Debian packages of those that are missing.
"""

import os
import shutil
from importlib import import_module
from typing import Any

# Program -> the Debian package that has it.
PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "haproxy": "haproxy",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "jq": "jq",
    "kamailio": "kamailio",
    "mvn": "maven",
    "node": "nodejs",
    "npm": "npm",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
    "sipp": "sip-tester",
    "systemd-analyze": "systemd",
    "wrk": "wrk",
}
REQUIRED = "ADMISSION_REQUIRE_TOOLS"


def tool(name: str) -> str:
    """The path of a program; a test (or module) that asks for one that is not here is skipped."""
    import pytest  # here, because .ci/run asks for the packages before it is installed

    if found := shutil.which(name):
        return found
    reason = f"{name} is not installed (Debian package {PACKAGES[name]})"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def module(name: str) -> Any:
    """A Python module; a test (or module) that asks for one that is not here is skipped."""
    import pytest

    try:
        return import_module(name)
    except ModuleNotFoundError:
        reason = f"the module {name} is not installed: rm .venv/.dev, make .venv/.dev"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def missing() -> list[str]:
    """The packages of the programs that are not here."""
    wanted = (package for program, package in PACKAGES.items() if not shutil.which(program))
    return list(dict.fromkeys(wanted))


if __name__ == "__main__":
    print(*missing(), sep="\n")

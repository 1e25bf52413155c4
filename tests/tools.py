"""Programs that some tests use beside Python: where one is missing the test is skipped.

With ADMISSION_REQUIRE_TOOLS=1, as continuous integration sets it, a missing one is a failure.
"""

import os
import shutil

import pytest

# Program -> the Debian package that has it; .ci/run installs them all.
PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "haproxy": "haproxy",
    "java": "default-jdk-headless",
    "jq": "jq",
    "promtool": "prometheus",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
    "systemd-analyze": "systemd",
    "wrk": "wrk",
}
REQUIRED = "ADMISSION_REQUIRE_TOOLS"


def tool(name: str) -> str:
    """The path of a program; a test (or module) that asks for one that is not here is skipped."""
    if found := shutil.which(name):
        return found
    reason = f"{name} is not installed (Debian package {PACKAGES[name]})"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)

"""What is shipped: the wheel alone, unpacked far from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from admission.http.dashboard.handlers import dashboard_files
from admission.ledger.scripts import load
from tests.support.paths import ROOT


def test_scripts_and_dashboard_in_the_wheel_are_those_of_the_checkout(tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)

    ask = (
        "import admission, admission.ledger.scripts as s, admission.http.dashboard.handlers as d;"
        "print(admission.__file__, s.load().sha, *d.dashboard_files())"
    )
    found = subprocess.check_output(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        text=True,
        timeout=60,
    ).split()

    assert found[0].startswith(str(unpacked))
    assert found[1] == load().sha
    assert sorted(found[2:]) == sorted(dashboard_files())

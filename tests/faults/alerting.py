"""A real Prometheus with the alerts that are shipped.

It scrapes once a second, and of the rules only the times are shorter: hours and minutes are
seconds, windows at least ten. The expressions are those that are shipped.
"""

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.load import find_free_ports
from tests.support.paths import ROOT
from tests.support.tools import tool

FIRES_S = 90.0
WINDOW_S = 10


def shorten(rules: str) -> str:
    """The same rules, in seconds instead of minutes and hours."""
    rules = re.sub(r"^(\s+for:) (\d+)[mh]$", r"\1 \2s", rules, flags=re.MULTILINE)
    rules = re.sub(r"^(\s+for:) (?:15|30|90)s$", r"\1 2s", rules, flags=re.MULTILINE)

    def window(found: re.Match[str]) -> str:
        return f"[{max(WINDOW_S, int(found[1]))}s]"

    return re.sub(r"\[(\d+)[smh]\]", window, rules)


@contextmanager
def run_prometheus(folder: Path, targets: dict[str, list[str]]) -> Iterator[str]:
    """Yields its URL. Args: targets: scheme -> `host:port` of services."""
    rules = (ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8")
    (folder / "alerts.yml").write_text(shorten(rules), "utf-8")
    scrapes = [
        {
            "job_name": f"admission-{scheme}",
            "scheme": scheme,
            "tls_config": {"insecure_skip_verify": True},
            "static_configs": [{"targets": hosts}],
            "relabel_configs": [{"target_label": "job", "replacement": "admission"}],
        }
        for scheme, hosts in targets.items()
    ]
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": scrapes,
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings), "utf-8")
    (port,) = find_free_ports(1)
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def find_firing(url: str) -> set[str]:
    with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=10) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


class Repetition:
    """A thread that does the same again and again until the block ends."""

    def __init__(self, *acts: Any, pause_s: float = 0.2) -> None:
        self._acts, self._pause_s = acts, pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(self._pause_s):
            for act in self._acts:
                with contextlib.suppress(OSError, ValueError):
                    act()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def wait_for(url: str, wanted: set[str]) -> None:
    seen: set[str] = set()
    deadline = time.monotonic() + FIRES_S
    while not wanted <= seen:
        with contextlib.suppress(OSError):  # it is starting
            seen |= find_firing(url)
        assert time.monotonic() < deadline, f"silent: {wanted - seen}"
        time.sleep(0.2)


def wait_for_scrapes(url: str) -> None:
    """Wait until every zone was scraped twice: an earlier count is never an increase."""
    query = urllib.parse.quote("min(count_over_time(admission_zone_up[10s])) >= 2")
    deadline = time.monotonic() + FIRES_S
    while True:
        with (
            contextlib.suppress(OSError),  # it is starting
            urllib.request.urlopen(f"{url}/api/v1/query?query={query}", timeout=10) as answer,
        ):
            if json.load(answer)["data"]["result"]:
                return
        assert time.monotonic() < deadline, "no scrapes"
        time.sleep(0.2)


def wait_for_end(url: str, alert: str) -> None:
    """Wait until the alert does not fire any more."""
    deadline = time.monotonic() + FIRES_S
    while alert in find_firing(url):
        assert time.monotonic() < deadline, f"{alert} goes on"
        time.sleep(0.2)

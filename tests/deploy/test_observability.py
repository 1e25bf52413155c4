"""Alert rules and the Grafana dashboard: what they read is there, alerts fire as they should."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.tools import tool

RULES = ROOT / "deploy/prometheus/alerts.yml"
RULE_TESTS = ROOT / "deploy/prometheus/alerts_test.yml"
GRAFANA = ROOT / "deploy/grafana/admission.json"
BOARD = json.loads(GRAFANA.read_text("utf-8"))
QUERIES = [one["expr"] for panel in BOARD["panels"] for one in panel.get("targets", ())]
RUNBOOK = ROOT / "docs/runbook.md"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"][0]["rules"]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every metric that there is."""
    ask = "import metrics_page; print(*metrics_page.metric_names())"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT / "docs", check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def named(text: str) -> set[str]:
    return set(re.findall(r"admission_\w+", text))


def entries() -> list[str]:
    """The runbook's headings."""
    return re.findall(r"^## (.+)$", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)


def promtool(*arguments: str) -> None:
    command = [tool("promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_well_formed() -> None:
    promtool("check", "rules", RULES.name)


def test_every_alert_fires_where_it_should_and_nowhere_else() -> None:
    promtool("test", "rules", RULE_TESTS.name)


def test_every_alert_has_a_test() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text("utf-8"))["tests"]
    tested = {rule["alertname"] for one in tests for rule in one["alert_rule_test"]}
    assert tested == {one["alert"] for one in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one["alert"])
def test_an_alert_uses_metrics_that_there_are(alert: dict[str, Any], known: set[str]) -> None:
    assert named(alert["expr"]) <= known


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    assert sorted(entries()) == sorted(one["alert"] for one in ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one["alert"])
def test_an_alert_leads_to_its_entry(alert: dict[str, Any]) -> None:
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_grafana_shows_only_metrics_that_there_are(known: set[str]) -> None:
    variables = [one["definition"] for one in BOARD["templating"]["list"] if "definition" in one]
    assert {name for query in [*QUERIES, *variables] for name in named(query)} <= known


def test_grafana_s_queries_are_queries(tmp_path: Path) -> None:
    """promtool knows the language: rules that record the queries are checked."""
    rules = [
        {"record": f"query:{n}", "expr": query.replace("$zone", "East")}
        for n, query in enumerate(QUERIES)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}), "utf-8")
    promtool("check", "rules", str(path))


def test_grafana_s_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells

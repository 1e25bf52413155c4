"""The report of a run ends with one line for each scenario of the simulations."""

from collections import defaultdict
from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each scenario: launches, over-launches, utilisation."""
    by_scenario: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "simulated":
                by_scenario[value["scenario"]].append(value)
    if by_scenario:
        terminalreporter.section("simulations")
    for scenario, results in sorted(by_scenario.items()):
        terminalreporter.write_line(_line(scenario, results))


def _line(scenario: str, results: list[dict[str, Any]]) -> str:
    def total(name: str) -> int:
        return sum(result[name] for result in results)

    busy = 100 * sum(result["utilisation"] for result in results) / len(results)
    return (
        f"{scenario:13} {len(results):3} seeds {total('run_ms') // 60_000:5} min"
        f" {total('launches'):7} launches {total('over_launches'):4} over"
        f" {total('denied'):7} denied {total('foreign'):6} foreign"
        f" {total('mpp_misses'):4} missed their MPP {total('excused'):3} with a dead MPP"
        f" ports {busy:3.0f}% busy"
    )

"""The race of benchmarks/race: small scenarios, and the report on their scores."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from admission.ledger.scripts import load
from admission.sim.experience_portal.platform import Portal
from admission.sim.values import Delay
from benchmarks.race.alternatives import ALTERNATIVES, ORACLE
from benchmarks.race.ours import ADAPTIVE, DEDICATED, LEARNED, MEASURED, OURS
from benchmarks.race.report import ahead, lines_of, report, verdicts
from benchmarks.race.scenarios import SCENARIOS, Scenario
from benchmarks.race.simulation import Score, Simulation

SMALL = Scenario(name="small", title="small", ports=20, dialers=3, lasts_ms=20_000)
INBOUND = replace(SMALL, name="inbound", title="inbound", foreign_per_s=0.07)
NAMES = (*ALTERNATIVES, *OURS)


def score(over: int, used: int) -> Score:
    return Score(launches=1000, over_launches=over, used_ms=used, open_ms=1000)


def scores(**others: Score) -> dict[tuple[str, str], Score]:
    """Scores of one scenario, equal to the oracle's but for these."""
    named = {name.replace("_", " "): one for name, one in others.items()}
    return {
        ("inbound", name): named.get(name, score(0, 900)) for name in NAMES if name != DEDICATED
    }


def test_the_oracle_wastes_no_launch_without_foreign_calls():
    found = Simulation(SMALL, 1, ALTERNATIVES[ORACLE]).run()
    assert found.over_launches == 0
    assert found.utilisation > 0.9


def test_a_cached_snapshot_lets_all_launch_into_the_same_port():
    assert Simulation(SMALL, 1, ALTERNATIVES["cached snapshot"]).run().over_share > 0.3


def test_ours_launches_into_free_ports_only():
    found = Simulation(SMALL, 1, OURS[DEDICATED]).run()
    assert found.over_launches == 0
    assert found.utilisation > 0.9


def test_learned_ceilings_use_more_of_the_ports_with_short_calls():
    short = replace(SMALL, ports=60, calls="7s")
    learned, proved = (Simulation(short, 1, OURS[name]).run() for name in (LEARNED, ADAPTIVE))
    assert learned.utilisation > proved.utilisation + 0.05
    assert learned.over_share < 0.005


def test_each_placed_call_takes_the_server_that_was_granted(monkeypatch: pytest.MonkeyPatch):
    taken = []
    launch = Portal.launch

    def note(portal: Portal, *args, mpp: str | None = None, **more) -> str:
        taken.append(mpp)
        return launch(portal, *args, mpp=mpp, **more)

    monkeypatch.setattr(Portal, "launch", note)
    found = Simulation(replace(SMALL, placed=True), 1, OURS[DEDICATED]).run()
    assert found.over_launches == 0
    assert set(taken) == {f"mpp{n}" for n in range(1, 5)}


def test_claims_of_the_slow_application_are_awaited():
    slow = Delay(low_ms=1_000, high_ms=3_000)
    found = Simulation(replace(SMALL, slow_claim=slow), 1, OURS[MEASURED]).run()
    assert found.over_launches == 0
    assert found != Simulation(SMALL, 1, OURS[MEASURED]).run()


def test_a_seed_gives_the_same_run_again():
    again = [Simulation(INBOUND, 2, OURS[MEASURED]).run() for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] != Simulation(INBOUND, 3, OURS[MEASURED]).run()


def test_the_race_detects_a_script_that_grants_too_much(monkeypatch: pytest.MonkeyPatch):
    right = load("test")
    wrong = right.source.replace("{ ceiling = unused +", "{ ceiling = 2 * unused +")
    assert wrong != right.source
    monkeypatch.setattr(
        "benchmarks.race.ours.load", lambda clock: replace(right, source=wrong, sha="")
    )
    assert Simulation(SMALL, 1, OURS[MEASURED]).run().over_share > 0.01


@pytest.mark.parametrize(
    ("over", "used", "is_ahead"),
    [(0, 900, True), (0, 906, False), (0, 890, True), (50, 950, True)],
)
def test_a_controller_with_over_launches_is_never_ahead(over, used, is_ahead):
    lines = lines_of(scores(semaphore=score(over, used)))
    assert ahead(INBOUND, "semaphore", lines) is is_ahead


def test_a_missed_target_is_reported_with_its_figure():
    found = scores(**{MEASURED.replace(" ", "_"): score(5, 800)})
    judged = {what: (met, figure) for what, met, figure in verdicts([INBOUND], lines_of(found))}
    assert judged[f"{MEASURED}: utilisation at least 97.0%"] == (False, "88.89% (inbound)")
    assert judged["ours, adaptive: utilisation at least 93.0%"][0]


def test_the_picture_has_a_dot_for_each_score_in_both_panels():
    scenarios = [replace(SCENARIOS[5], name="inbound")]
    picture = report(scenarios, scores()).pictures["race.svg"]
    dots = [one for one in ElementTree.fromstring(picture).iter() if one.tag.endswith("circle")]
    assert len(dots) == 2 * len(scores())

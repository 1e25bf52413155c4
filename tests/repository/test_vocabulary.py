"""The field's word stands for each thing: words that were given up do not come back.

A word that has a standard meaning in one file stands in `ALLOWED` with that meaning.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import ROOT

# Word that was given up (a regular expression) -> the word of the field.
GIVEN_UP: Final = {
    r"photo(?:s|graph\w*)?": "snapshot",
    r"told|tells?|telling": "reported, returned, answered",
    r"houses?|porch|doors?": "project, request context, route",
    r"rooms": "packages, modules",
    r"twins?": "reference model",
    r"crews?": "supervisor and workers",
    r"bells?|rang|rung": "notification, notify",
    r"hears?|heard": "on_notification, received",
    r"hungry|hunger|sated?": "contention, unmet demand",
    r"steps? back|stepped back": "yields",
    r"alike|kin|mould": "shared fields, template",
    r"could_give|is_hopeless": "can_ever_satisfy, can_never_fit",
    r"bury_unknown|call_up|leave_fetched": "write_tombstone, notify_next, leave_queue_answered",
    r"keepers?|desks?": "renewals, grant_registry",
    r"lean": "fast response",
    r"capabilities": "report links",
    r"lanes?|takers?": "ZoneQueue, PendingCall",
    r"end_all|poke[sd]?|turnstile|not_?taken": "cancel_and_wait, request_poll, MinIntervalGate",
    r"troubles?": "fault, failure, error",
    r"habits?": "DialerProfile",
    r"good_?batch": "AdmissionBatch",
    r"kept back|keeps? back": "reserved",
    r"worlds?|first aid|touchy": "scenario, mitigation, sensitive",
    r"whoever|somebody|nobody|everybody|anybody": "a named subject",
}

# (word as it stands, in lower case; file) -> its standard meaning there.
ALLOWED: Final[dict[tuple[str, str], str]] = {}

# Words that are still to be replaced, by file. The list only shrinks: nothing is added to it.
REMAINING: Final[dict[str, set[str]]] = {
    "CONTRIBUTING.md": {"world"},
    "admission/cli/top_table.py": {"rooms"},
    "admission/demo/stats.py": {"habit"},
    "admission/demo/table.py": {"habit"},
    "admission/domain/policy/compile.py": {"nobody"},
    "admission/domain/policy/zone.py": {"nobody"},
    "admission/domain/snapshots.py": {"anybody", "somebody"},
    "admission/domain/validation.py": {"tells"},
    "admission/http/handlers/reports.py": {"everybody"},
    "admission/http/route.py": {"everybody"},
    "admission/http/routes.py": {"everybody"},
    "admission/ledger/__init__.py": {"nobody"},
    "admission/ledger/agent_sessions.py": {"somebody"},
    "admission/ledger/clock_steps.py": {"photograph", "told"},
    "admission/ledger/keys.py": {"bell", "hungry"},
    "admission/ledger/ledger.py": {"house", "nobody", "somebody", "told"},
    "admission/ledger/notifications.py": {"bell", "hear", "heard", "rung", "tells"},
    "admission/ledger/operations.py": {"house"},
    "admission/ledger/policy_cache.py": {"tells", "told"},
    "admission/ledger/results.py": {"told"},
    "admission/ledger/store/cluster.py": {"nobody", "trouble"},
    "admission/ledger/store/embedded/data_dir.py": {"somebody", "tell", "tells"},
    "admission/ledger/store/embedded/server.py": {"tell", "told"},
    "admission/ledger/store/single.py": {"bell"},
    "admission/runtime/greeting.py": {"tells"},
    "admission/runtime/process.py": {"told"},
    "admission/runtime/supervisor.py": {"crew", "hear", "keeper", "nobody", "told"},
    "admission/runtime/worker_plan.py": {"told"},
    "admission/service/agent_sessions.py": {"somebody", "takers", "whoever"},
    "admission/service/bootstrap.py": {"bell", "hear", "rung", "somebody", "whoever"},
    "admission/service/policies.py": {"heard", "somebody", "whoever"},
    "admission/service/policy_editor.py": {"heard", "somebody"},
    "admission/service/waiting/coordinator.py": {
        "bell",
        "everybody",
        "hear",
        "heard",
        "hunger",
        "nobody",
        "rang",
        "told",
    },
    "admission/service/waiting/queue.py": {"somebody", "told", "whoever"},
    "admission/service/waiting/retrier.py": {"everybody", "nobody", "tells", "told"},
    "admission/sources/polling/schedule.py": {"steps back"},
    "admission/telemetry/logs.py": {"somebody", "told"},
    "admission/telemetry/metrics.py": {"somebody", "tells"},
    "admission/telemetry/zone_metrics.py": {"kept back", "nobody"},
    "lua/README.md": {
        "alike",
        "bell",
        "heard",
        "hunger",
        "hungry",
        "keep back",
        "nobody",
        "photographed",
        "rung",
        "somebody",
        "tells",
        "twin",
        "whoever",
    },
    "lua/commands/wait.lua": {"hungry"},
    "lua/effects/release.lua": {"stepped back"},
    "lua/main.lua": {"steps back"},
    "lua/prelude.lua": {"hungry", "stepped back"},
    "lua/state/contention.lua": {"hungry", "nobody"},
    "lua/state/pool.lua": {"hungry"},
    "lua/state/wait_queue.lua": {"hungry"},
}

PLACES: Final = (
    *sorted((ROOT / "admission").rglob("*.py")),
    *sorted((ROOT / "lua").rglob("*.lua")),
    *sorted((ROOT / "lua").rglob("*.md")),
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
)


def findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word and the word of the field for each word that was given up.

    Words inside names count too: `_told`, `toldAt` and `is_told` are all `told`.
    """
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line)
        for pattern, instead in GIVEN_UP.items():
            for found in re.finditer(rf"(?<![a-zA-Z])(?:{pattern})(?![a-zA-Z])", parted, re.I):
                yield number, found[0].lower(), instead


@pytest.mark.parametrize("path", PLACES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_the_word_of_the_field(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    left = [
        f"{name}:{number}: {word} (say: {instead})"
        for number, word, instead in findings(path)
        if (word, name) not in ALLOWED and word not in REMAINING.get(name, ())
    ]
    assert left == []


def test_every_allowed_word_is_still_there() -> None:
    there = {
        (word, str(path.relative_to(ROOT))) for path in PLACES for _, word, _ in findings(path)
    }
    assert set(ALLOWED) - there == set()


def test_a_word_inside_a_name_is_found(tmp_path: Path) -> None:
    page = tmp_path / "x.py"
    page.write_text("def _is_told(photoAt): ...\nsnapshot = 1\nfolder = 'a bellows'\n")
    assert [(number, word) for number, word, _ in findings(page)] == [(1, "photo"), (1, "told")]

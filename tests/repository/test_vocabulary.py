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

_STORED: Final = "name of a key or field in Redis: stored names stay"
_CLOCK: Final = "a clock that is set back"
_STREAM: Final = "name of a random stream: with another name each seed would be another run"
_PACKAGE: Final = "name of the package benchmarks/worlds"

# (word as it stands, in lower case; file) -> its standard meaning there.
ALLOWED: Final[dict[tuple[str, str], str]] = {
    ("hungry", "admission/ledger/keys.py"): _STORED,
    ("bell", "admission/ledger/keys.py"): "name of the Redis channel, which access rules contain",
    ("hungry", "lua/commands/wait.lua"): _STORED,
    ("hungry", "lua/prelude.lua"): _STORED,
    ("hungry", "lua/state/contention.lua"): _STORED,
    ("hungry", "lua/state/pool.lua"): _STORED,
    ("hungry", "lua/state/wait_queue.lua"): _STORED,
    ("hungry", "lua/README.md"): _STORED,
    ("steps back", "admission/sources/polling/schedule.py"): _CLOCK,
    ("stepped back", "lua/effects/release.lua"): _CLOCK,
    ("steps back", "lua/main.lua"): _CLOCK,
    ("stepped back", "lua/prelude.lua"): _CLOCK,
    ("hungry", "tests/ledger/test_one_call.py"): _STORED,
    ("hungry", "tests/ledger/test_records.py"): _STORED,
    ("hungry", "tests/ledger/test_wrong_keys.py"): _STORED,
    ("world", "tests/support/simulation/simulation.py"): _STREAM,
    ("troubles", "tests/support/simulation/simulation.py"): _STREAM,
    ("worlds", "tests/estimator/test_scenarios.py"): _PACKAGE,
    ("world", "tests/estimator/test_scenarios.py"): _PACKAGE,
    ("worlds", "tests/README.md"): _PACKAGE,
    ("worlds", "tests/simulation/test_learned_ceilings.py"): _PACKAGE,
    ("world", "tests/simulation/test_learned_ceilings.py"): _PACKAGE,
    ("worlds", "tests/support/ledger_scenarios.py"): _PACKAGE,
    ("world", "tests/support/ledger_scenarios.py"): _PACKAGE,
    ("capabilities", "tests/deploy/test_files.py"): "field of a Kubernetes manifest",
}

PLACES: Final = (
    *sorted((ROOT / "admission").rglob("*.py")),
    *sorted((ROOT / "lua").rglob("*.lua")),
    *sorted((ROOT / "lua").rglob("*.md")),
    *(path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)),
    ROOT / "tests" / "README.md",
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
def test_a_file_uses_the_terms_of_the_field(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    left = [
        f"{name}:{number}: {word} (say: {instead})"
        for number, word, instead in findings(path)
        if (word, name) not in ALLOWED
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

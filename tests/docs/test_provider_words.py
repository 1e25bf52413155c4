"""The page lists every word of providers with the outcome that the code gives it."""

import re

from admission.domain.outcomes import PROVIDER_OUTCOMES, read_outcome
from tests.docs.blocks import ROOT


def test_the_page_lists_every_word_of_providers() -> None:
    text = (ROOT / "docs/client.md").read_text("utf-8").partition("## report_url")[2]
    rows = re.findall(r"^\| (`.*`) \| `(\w+)` \|$", text, re.MULTILINE)
    listed = {word: outcome for words, outcome in rows for word in re.findall(r"`([^`]+)`", words)}
    assert {word: read_outcome(word) for word in listed} == listed
    assert set(PROVIDER_OUTCOMES) <= {re.sub("[- ]", "_", word) for word in listed}

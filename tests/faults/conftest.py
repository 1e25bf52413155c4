"""What the tests of faults do otherwise than all others."""

import pytest


@pytest.fixture
def patient_ledger() -> None:
    """Here a request may take as long as in production, and no longer."""

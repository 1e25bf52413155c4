"""The watch over the log sees what it is there to see."""

import logging

import pytest

from tests.support.secrets import AGENT_PASSWORD, WATCH, keep_secret

GUID = "4e2c0c76-5c2c-4b4e-9d3a-1f6a2f1b7c55.AgentGateway1"
SIGNATURE = "auth-v2/key/2024-01-02T03:04:05Z/host/" + "0" * 64


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
@pytest.mark.parametrize("secret", [AGENT_PASSWORD, GUID, SIGNATURE])
def test_a_secret_in_a_line_is_found_at_every_level(secret: str, level: int) -> None:
    logging.getLogger("admission.some.room").log(level, "sent %s", secret)

    assert len(WATCH.taken()) == 1


def test_a_secret_in_a_trace_is_found() -> None:
    try:
        raise ValueError(keep_secret("only-in-this-test"))
    except ValueError:
        logging.getLogger("admission").exception("it failed")

    assert len(WATCH.taken()) == 1


def test_a_text_without_a_secret_is_not_reported() -> None:
    logging.getLogger("admission").warning("4e2c0c76-5c2c-4b4e-9d3a-1f6a2f1b7c55 auth-v2/x")

    assert WATCH.taken() == []

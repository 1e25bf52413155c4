"""The secrets that tests use, and a watch that none of them is ever logged, at whatever level.

Each test that made one be logged fails (conftest.py). A secret that only comes into being in a
test is added by `keep_secret`; sessions' Guids are known by their form.
"""

import logging
import re
from typing import Final

AGENT_PASSWORD: Final = "agent-Pa55word-of-tests"
CMS_SECRET: Final = "cms-S3cret-key-of-tests"
EPM_PASSWORD: Final = "s3cret"

# A session at the simulated CC-Gateway, a C2 signature, and a header with credentials.
FORMS: Final = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.AgentGateway|auth-v2/.*/[0-9a-f]{64}|Authorization"
)


class Watch(logging.Handler):
    """Receives every log record, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter())
        self.secrets = {AGENT_PASSWORD, CMS_SECRET, EPM_PASSWORD}
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        written = self.format(record)
        if FORMS.search(written) or any(secret in written for secret in self.secrets):
            self.leaks.append(f"{record.name} {record.levelname}: {written}")

    def taken(self) -> list[str]:
        """What leaked since the last time."""
        leaks, self.leaks = self.leaks, []
        return leaks


WATCH: Final = Watch()


def keep_secret(secret: str) -> str:
    """From now on, to the end of the run, this must not be logged."""
    WATCH.secrets.add(secret)
    return secret

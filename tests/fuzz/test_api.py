"""The served API against its own description: schemathesis, with all of its checks, as each role.

`make fuzz` sends some 20,000 requests; ADMISSION_FUZZ_EXAMPLES (for each operation) makes it more
or fewer. `ARGS="-k dialer"` chooses a role.
"""

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from admission.config.settings import LimitSettings, RedisSettings, Settings
from admission.domain.policy.document import parse_policy
from admission.domain.types import Role
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials, Token
from admission.service.bootstrap import open_service
from admission.service.service import Service
from admission.telemetry.metrics import Telemetry
from tests.support.http_server import Server, serving

pytestmark = pytest.mark.fuzz
EXAMPLES = int(os.environ.get("ADMISSION_FUZZ_EXAMPLES", "140"))
# The other cases are those that the description itself suggests, whatever EXAMPLES says.
REQUESTS_MIN = 5000 if EXAMPLES >= 140 else 1000
PATIENCE_S = 900
CONFIG = Path(__file__).with_name("schemathesis.toml")
ZONES: dict[str, dict[str, Any]] = {
    "East": {
        "source": "push",
        "channels": ["sip", "h323"],
        "launch_within_ms": 100,
        "claim_within_ms": 0,
        "mpps": {"mpp1": {"sip": 50, "h323": 0}},
        "applications": {"collections-ivr": {"mpps": ["mpp1"]}},
        "campaigns": {"*": {}, "collections": {"limit": 80, "rate_per_s": 500}},
        "pools": {"trunk:carrier-a": {"limit": 100}, "agent:*": {"limit": 1}},
    },
    "West": {
        "source": "static",
        "channels": ["sip"],
        "capacity": {"sip": 1000},
        "campaigns": {"*": {}},
    },
}


def token_of(role: Role) -> str:
    return f"{role}-token"


@asynccontextmanager
async def served(redis_url: str) -> AsyncIterator[tuple[Server, Service]]:
    """The real service, a token for each role, and no waiting: the time is for requests."""
    settings = Settings(
        # A store that is late on a busy machine is a 503, which here would be a finding.
        redis=RedisSettings(url=redis_url, timeout_ms=60_000),
        limits=LimitSettings(max_waiters=0),
        zones={name: parse_policy(zone) for name, zone in ZONES.items()},
    )
    tokens = [
        Token(name=role, sha256=hashlib.sha256(token_of(role).encode()).hexdigest(), role=role)
        for role in Role
    ]
    async with open_service(settings, Telemetry()) as service:
        app = create_app(service, credentials=Credentials(tokens), default_zone="East")
        async with serving(app) as server:
            yield server, service


async def fuzz(server: Server, role: Role, folder: Path) -> tuple[int, str]:
    """-> exit code, and what it printed."""
    # Not every role may read the description.
    headers = {"Authorization": f"Bearer {token_of(Role.VIEWER)}"}
    async with server.http.get("/openapi.json", headers=headers) as answer:
        (folder / "openapi.json").write_bytes(await answer.read())
    command = (
        *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"),
        *("openapi.json", "--url", f"http://127.0.0.1:{server.port}"),
        *("--header", f"Authorization: Bearer {token_of(role)}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
        *("--exclude-path", "/v1/events"),  # it goes on for as long as it is open
        *("--seed", "1", "--generation-database", "none", "--request-timeout", "60"),
        *("--continue-on-failure", "--warnings", "off", "--no-color"),
    )
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode(errors="replace")


@pytest.mark.parametrize("role", list(Role))
async def test_answers_agree_with_the_description(
    redis_url: str, tmp_path: Path, role: Role
) -> None:
    async with served(redis_url) as (server, service):
        code, said = await fuzz(server, role, tmp_path)
        pools = (await service.zone("East").get_status())["pools"]
    cases = re.search(r"(\d+) generated", said)
    assert code == 0, said
    assert cases is not None, said
    assert int(cases[1]) >= REQUESTS_MIN, said
    assert all(pool["in_use"] >= 0 for pool in pools)

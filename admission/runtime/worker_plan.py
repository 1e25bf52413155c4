"""The plan of a worker process: one line of JSON on its standard input."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from admission.config import Settings
from admission.config.load import replace_platform_url

# A worker prints this line once it serves; every other line is for the terminal.
LISTENING: Final = "listening"
USAGE: Final = 2  # exit code: the configuration cannot be used
# Directory in which all workers count; the metrics library reads the variable when it is imported.
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """The resources that the supervisor shares with all of its workers.

    Args:
        path: the configuration file; None: the built-in demo.
        port: shared by all workers.
        redis_url: of the embedded server of the supervisor; None: as configured.
        platform_url: of the demo's simulated platform in the supervisor; None: as configured.
        announces: this worker prints when the default zone can grant.

    Example:
        plan = WorkerPlan.decode(sys.stdin.readline())
    """

    path: str | None
    port: int
    redis_url: str | None = None
    platform_url: str | None = None
    announces: bool = False

    @property
    def file(self) -> Path | None:
        """The configuration file."""
        return None if self.path is None else Path(self.path)

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with the addresses of the shared resources."""
        server = settings.server.model_copy(update={"port": self.port})
        found = settings.model_copy(update={"server": server})
        if self.redis_url is not None:
            owned = settings.redis.model_copy(update={"url": self.redis_url, "embedded": False})
            found = found.model_copy(update={"redis": owned})
        if self.platform_url is not None:
            found = replace_platform_url(found, self.platform_url)
        return found

    def encode(self) -> bytes:
        """The line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: str) -> Self:
        """The plan in a line."""
        return cls(**json.loads(line))

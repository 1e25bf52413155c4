"""What a worker process is told when it starts: one line of JSON on its standard input."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from admission.config.load import replace_platform_url
from admission.config.settings import Settings

# A line that a worker says once it serves; whatever else it says is for the terminal.
LISTENING: Final = "listening"
USAGE: Final = 2  # exit code: the configuration cannot be used
# Names the folder in which workers count together; the metrics library reads it when it is loaded.
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """What the parent made for all of its workers.

    Args:
        path: the configuration file; None: the built-in demo.
        port: that all of them share.
        redis_url: of the embedded server, which the parent owns; None: as configured.
        platform_url: of the demo's simulated platform, which the parent runs; None: as configured.
        announces: this worker says when the default zone can grant.
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
        """The settings with what the parent has already."""
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

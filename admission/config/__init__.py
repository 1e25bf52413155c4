"""Settings: the TOML file, the environment's overrides, and the checks before a start."""

from admission.config.base import SourceSection
from admission.config.errors import InvalidSettings, describe_errors
from admission.config.settings import (
    LogSettings,
    RedisSettings,
    ServerSettings,
    Settings,
    TokenSettings,
)

__all__ = [
    "InvalidSettings",
    "LogSettings",
    "RedisSettings",
    "ServerSettings",
    "Settings",
    "SourceSection",
    "TokenSettings",
    "describe_errors",
]

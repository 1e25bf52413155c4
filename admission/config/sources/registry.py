"""The models of the `[sources.X]` tables by `type`, and the channels that each platform counts."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from admission.config.base import SourceSection
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.config.sources.http_json import HttpJsonSettings
from admission.config.sources.huawei import HuaweiAgentGatewaySettings, HuaweiCmsSettings

# Names that a zone may use as a source without a table: no platform is polled for them.
BUILT_IN_SOURCES: Final = ("push", "static")

SourceSettings: TypeAlias = Annotated[
    ExperiencePortalSettings | HttpJsonSettings | HuaweiCmsSettings | HuaweiAgentGatewaySettings,
    Field(discriminator="type"),
]
SOURCE_TYPES: Final[dict[str, type[SourceSection]]] = {
    "experience_portal": ExperiencePortalSettings,
    "huawei_cms": HuaweiCmsSettings,
    "huawei_agent_gateway": HuaweiAgentGatewaySettings,
    "http_json": HttpJsonSettings,
}
# Channels whose ports a platform counts. The agent gateway counts calls of agents, no ports; what
# an `http_json` source counts is in its own table.
COUNTED_CHANNELS: Final[dict[str, tuple[str, ...]]] = {
    "experience_portal": ("sip", "h323"),
    "huawei_cms": ("voice", "ivr", "web"),
    "huawei_agent_gateway": (),
}


def list_counted_channels(table: Any) -> tuple[str, ...] | None:
    """The channels that a `[sources.X]` table counts; None: that is not known.

    Args:
        table: its settings, or the table of a file that need not be valid.
    """
    is_table = isinstance(table, dict)
    kind = table.get("type") if is_table else getattr(table, "type", None)
    if kind != "http_json":
        return COUNTED_CHANNELS.get(kind) if isinstance(kind, str) else None
    channels = table.get("channels", {}) if is_table else table.channels
    return tuple(map(str, channels)) if isinstance(channels, dict) else None

"""The models of the `[sources.X]` tables by `type`, and the channels that each platform counts."""

from typing import Annotated, Final, TypeAlias

from pydantic import Field

from admission.config.base import SourceSection
from admission.config.sources.experience_portal import ExperiencePortalSettings
from admission.config.sources.huawei import HuaweiAgentGatewaySettings, HuaweiCmsSettings

# Names that a zone may use as a source without a table: no platform is polled for them.
BUILT_IN_SOURCES: Final = ("push", "static")

SourceSettings: TypeAlias = Annotated[
    ExperiencePortalSettings | HuaweiCmsSettings | HuaweiAgentGatewaySettings,
    Field(discriminator="type"),
]
SOURCE_TYPES: Final[dict[str, type[SourceSection]]] = {
    "experience_portal": ExperiencePortalSettings,
    "huawei_cms": HuaweiCmsSettings,
    "huawei_agent_gateway": HuaweiAgentGatewaySettings,
}
# Channels whose ports a platform counts. The agent gateway counts calls of agents, no ports.
COUNTED_CHANNELS: Final[dict[str, tuple[str, ...]]] = {
    "experience_portal": ("sip", "h323"),
    "huawei_cms": ("voice", "ivr", "web"),
    "huawei_agent_gateway": (),
}

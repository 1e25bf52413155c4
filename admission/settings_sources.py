"""The `[sources.X]` tables: where the platforms are that give snapshots."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from admission.explain import Problem, refuse
from admission.model import Text
from admission.secret_refs import Secret
from admission.settings_base import INTERVAL_MS_MAX, Section, SourceSection
from admission.settings_portal import ExperiencePortalSettings

AGENTS_MAX: Final = 10_000
# Names that a zone may use as a source without a table: somebody else gives the numbers.
BUILT_IN_SOURCES: Final = ("push", "static")

HeaderName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]


class HuaweiCmsSettings(SourceSection):
    """A Huawei CC-CMS: licence usage of a call centre, at most once a second."""

    type: Literal["huawei_cms"] = "huawei_cms"
    access_key: Annotated[Text, StringConstraints(min_length=1)]
    secret_key: Secret
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]{0,500}$")] = (
        "/rest/cmsapp/v1/openapi/configures/querysystemlicensestatus"
    )
    timestamp_format: Literal["seconds", "milliseconds"] = "seconds"
    signed_headers: Annotated[
        tuple[HeaderName, ...], Field(strict=False, min_length=1, max_length=16)
    ] = ("host",)


class AgentSettings(Section):
    """An agent whose session this service owns. `phone`: the number to sign in with."""

    id: Annotated[int, Field(ge=101, le=999_999)]
    password: Secret
    phone: Annotated[Text, StringConstraints(min_length=1)]


class HuaweiAgentGatewaySettings(SourceSection):
    """A Huawei CC-Gateway: calls per agent. Without `agents`, their Guids are handed over."""

    type: Literal["huawei_agent_gateway"] = "huawei_agent_gateway"
    agents: Annotated[tuple[AgentSettings, ...], Field(strict=False, max_length=AGENTS_MAX)] = ()
    force_sign_in: bool = False

    @model_validator(mode="after")
    def _agents_once(self) -> Self:
        ids = [agent.id for agent in self.agents]
        refuse(
            "source",
            (
                Problem(place=("agents", i, "id"), message=f"{agent} is listed twice")
                for i, agent in enumerate(ids)
                if agent in ids[:i]
            ),
        )
        return self


SourceSettings: TypeAlias = Annotated[
    ExperiencePortalSettings | HuaweiCmsSettings | HuaweiAgentGatewaySettings,
    Field(discriminator="type"),
]
SOURCE_TYPES: Final[dict[str, type[SourceSection]]] = {
    "experience_portal": ExperiencePortalSettings,
    "huawei_cms": HuaweiCmsSettings,
    "huawei_agent_gateway": HuaweiAgentGatewaySettings,
}
# Channels whose ports a platform counts. The agent gateway counts agents' calls, no ports.
COUNTED_CHANNELS: Final[dict[str, tuple[str, ...]]] = {
    "experience_portal": ("sip", "h323"),
    "huawei_cms": ("voice", "ivr", "web"),
    "huawei_agent_gateway": (),
}

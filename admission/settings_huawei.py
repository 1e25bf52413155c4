"""The `[sources.X]` tables of a Huawei contact centre: CC-CMS (licences), CC-Gateway (agents).

What Huawei's documents leave open is a setting here, and its docstring says what is assumed.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from admission.explain import Problem, refuse
from admission.model import Text
from admission.secret_refs import Secret
from admission.settings_base import INTERVAL_MS_MAX, Section, SourceSection

AGENTS_MAX: Final = 10_000
AGENT_ID_MIN: Final = 101
AGENT_ID_MAX: Final = 999_999  # 59999 in older documents
# An event poll takes 10 s, and each agent needs one within the 60 s that its newest Guid stays
# the newest: one place serves five agents, with time to spare.
AGENTS_PER_EVENT_POLL: Final = 5
LICENCE_PATH: Final = "/rest/cmsapp/v1/openapi/configures/querysystemlicensestatus"

# Its `/` separates the parts of the Authorization header.
_ACCESS_KEY: Final = r"^[!-.0-~]{1,128}$"
_PATH: Final = r"""^/[!"$->@-~]{0,500}$"""  # without ? and #


def _sorted_headers(names: tuple[str, ...]) -> tuple[str, ...]:
    if list(names) != sorted(set(names)):
        raise ValueError("must be in alphabetical order, each once: that is how they are signed")
    if "host" not in names:
        raise ValueError("must contain host: without it a signature would do for any server")
    return names


SignedHeader: TypeAlias = Literal["content-length", "content-type", "host"]
SignedHeaders: TypeAlias = Annotated[
    tuple[SignedHeader, ...],
    Field(strict=False, min_length=1, max_length=3),
    AfterValidator(_sorted_headers),
]


class HuaweiCmsSettings(SourceSection):
    """A Huawei CC-CMS: licence usage of a call centre.

    Args:
        url: scheme, host and port; a path in it is put before `path`.
        access_key, secret_key: of a system user whom CC-CMS lets query licences.
        min_interval_ms: between any two queries. No limit is documented; assumed: one a second.
        path: of the interface, where a proxy gives it another.
        timestamp_format: of the signature; `milliseconds` was seen in some ports of the signer.
        signed_headers: `["host"]` or all three; both were seen.
        licence_warn_days: a licence that ends within so many days is warned about.
    """

    type: Literal["huawei_cms"] = "huawei_cms"
    access_key: Annotated[str, StringConstraints(pattern=_ACCESS_KEY)]
    secret_key: Secret
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    path: Annotated[str, StringConstraints(pattern=_PATH)] = LICENCE_PATH
    timestamp_format: Literal["seconds", "milliseconds"] = "seconds"
    signed_headers: SignedHeaders = ("host",)
    licence_warn_days: Annotated[int, Field(ge=0, le=3_650)] = 30


class AgentSettings(Section):
    """An agent whose session this service owns. `phone`: the number to sign in with."""

    id: Annotated[int, Field(ge=AGENT_ID_MIN, le=AGENT_ID_MAX)]
    password: Secret
    phone: Annotated[Text, StringConstraints(min_length=1)]


class SignInSettings(Section):
    """What is sent when an agent signs in; each under its name without underscores.

    `agent_type` 4 and `status` 4 (idle) are Huawei's. The others are assumed; `auto_enter_idle`
    false: an agent who is signed in only to be counted is not made idle again after a call.
    """

    agent_type: Annotated[int, Field(ge=0, le=100)] = 4
    status: Annotated[int, Field(ge=0, le=100)] = 4
    auto_answer: bool = True
    auto_enter_idle: bool = False
    release_phone: bool = True
    ip: Text = ""


class HuaweiAgentGatewaySettings(SourceSection):
    """A Huawei CC-Gateway: current calls of each agent.

    Args:
        url: scheme, host and port; a path in it is put before `/agentgateway`.
        agents: whose sessions this service owns. Without any, Guids are handed over.
        force_sign_in: whether an agent who is signed in elsewhere is thrown out there.
        sign_in: what is sent when signing in.
        min_interval_ms: between two rounds over all agents. Assumed: one a second.
        queries_at_once: requests under way at a time, beside event polls.
        event_polls_at_once: event polls under way at a time; each lasts up to 10 s.
    """

    type: Literal["huawei_agent_gateway"] = "huawei_agent_gateway"
    agents: Annotated[tuple[AgentSettings, ...], Field(strict=False, max_length=AGENTS_MAX)] = ()
    force_sign_in: bool = False
    sign_in: SignInSettings = SignInSettings()
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    queries_at_once: Annotated[int, Field(ge=1, le=256)] = 16
    event_polls_at_once: Annotated[int, Field(ge=1, le=4_000)] = 500

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse("source", self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        ids = [agent.id for agent in self.agents]
        seen: set[int] = set()
        for i, agent in enumerate(ids):
            if agent in seen:
                yield Problem(place=("agents", i, "id"), message=f"{agent} is listed twice")
            seen.add(agent)
        least = -(-len(ids) // AGENTS_PER_EVENT_POLL)
        if self.event_polls_at_once < least:
            message = f"must be at least {least} for {len(ids)} agents, or their sessions lapse"
            yield Problem(place=("event_polls_at_once",), message=message)

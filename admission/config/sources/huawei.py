"""The `[sources.X]` tables of a Huawei contact centre: CC-CMS (licences), CC-Gateway (agents).

What Huawei's documents leave open is a setting here, and its docstring says what is assumed.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from admission.config.base import INTERVAL_MS_MAX, HttpUrl, Section, SourceSection
from admission.config.secret_refs import Secret
from admission.domain.types import Text
from admission.domain.validation import Problem, raise_problems

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
    """A Huawei CC-CMS: licence usage of a call centre. See
    [platforms/huawei-cms.md](platforms/huawei-cms.md)."""

    type: Literal["huawei_cms"] = "huawei_cms"
    """Says which kind of table this is."""
    url: HttpUrl
    """Scheme, host and port; a path in it is put before `path`."""
    access_key: Annotated[str, StringConstraints(pattern=_ACCESS_KEY)]
    """Of a system user whom CC-CMS lets query licences."""
    secret_key: Secret
    """Of that user; signs each request."""
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    """Between the starts of any two queries, over all zones. No limit is documented; one a second
    is assumed."""
    path: Annotated[str, StringConstraints(pattern=_PATH)] = LICENCE_PATH
    """Of the interface, where a proxy gives it another."""
    timestamp_format: Literal["seconds", "milliseconds"] = "seconds"
    """Of the signature's time; `milliseconds` was seen in some ports of the signer."""
    signed_headers: SignedHeaders = ("host",)
    """Headers that the signature covers: `["host"]` or all three."""
    licence_warn_days: Annotated[int, Field(ge=0, le=3_650)] = 30
    """A licence that ends within so many days is warned about."""


class AgentSettings(Section):
    """One of `agents`."""

    id: Annotated[int, Field(ge=AGENT_ID_MIN, le=AGENT_ID_MAX)]
    """Work number."""
    password: Secret
    """The agent's."""
    phone: Annotated[Text, StringConstraints(min_length=1)]
    """The number to sign in with."""


class SignInSettings(Section):
    """Each is sent under its name without underscores. What is not documented is assumed, and so a
    setting."""

    agent_type: Annotated[int, Field(ge=0, le=100)] = 4
    """Kind of agent; 4 is Huawei's value."""
    status: Annotated[int, Field(ge=0, le=100)] = 4
    """State after signing in; 4 is idle."""
    auto_answer: bool = True
    """Calls are answered without the agent."""
    auto_enter_idle: bool = False
    """Whether the agent is idle again after a call; false for one who is signed in only to be
    counted."""
    release_phone: bool = True
    """Whether the phone is released after a call."""
    ip: Text = ""
    """Address of the agent's place; empty: none."""


class HuaweiAgentGatewaySettings(SourceSection):
    """A Huawei CC-Gateway: current calls of each agent. See
    [platforms/huawei-agent-gateway.md](platforms/huawei-agent-gateway.md)."""

    renamed_keys: ClassVar = {
        "queries_at_once": "max_concurrent_queries",
        "event_polls_at_once": "max_concurrent_event_polls",
    }

    type: Literal["huawei_agent_gateway"] = "huawei_agent_gateway"
    """Says which kind of table this is."""
    url: HttpUrl
    """Scheme, host and port; a path in it is put before `/agentgateway`."""
    agents: Annotated[tuple[AgentSettings, ...], Field(strict=False, max_length=AGENTS_MAX)] = ()
    """Agents whose sessions this service owns. Empty: whoever signs in hands over the session, `PUT
    /v1/zones/{zone}/agents/{id}/guid`."""
    force_sign_in: bool = False
    """Whether an agent who is signed in elsewhere is thrown out there."""
    sign_in: SignInSettings = SignInSettings()
    """What is sent when an agent signs in."""
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    """Between two rounds over all agents. One a second is assumed."""
    max_concurrent_queries: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests under way at a time, beside event polls."""
    max_concurrent_event_polls: Annotated[int, Field(ge=1, le=4_000)] = 500
    """Event polls under way at a time; each lasts up to 10 s, and one place serves five agents."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        raise_problems("source", self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        ids = [agent.id for agent in self.agents]
        seen: set[int] = set()
        for i, agent in enumerate(ids):
            if agent in seen:
                yield Problem(place=("agents", i, "id"), message=f"{agent} is listed twice")
            seen.add(agent)
        least = -(-len(ids) // AGENTS_PER_EVENT_POLL)
        if self.max_concurrent_event_polls < least:
            message = f"must be at least {least} for {len(ids)} agents, or their sessions lapse"
            yield Problem(place=("max_concurrent_event_polls",), message=message)

"""The `[sources.X]` tables of a Huawei contact centre: CC-CMS (licences), CC-Gateway (agents).

Each detail that Huawei's documents leave open is a setting; its docstring states the assumption.
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
AGENT_ID_MAX: Final = 999_999  # Huawei's documents; 59999 in older ones
# An event poll takes up to 10 s, and each agent needs one within the 60 s after which its Guid
# changes: one concurrent poll serves five agents, with a margin.
AGENTS_PER_EVENT_POLL: Final = 5
CC_ID_MAX: Final = 65_535  # Huawei types the ccId as a 16-bit number
LICENCE_PATH: Final = "/rest/cmsapp/v1/openapi/configures/querysystemlicensestatus"

# Printable ASCII without `/`, which separates the parts of the Authorization header.
_ACCESS_KEY: Final = r"^[!-.0-~]{1,128}$"
_PATH: Final = r"""^/[!"$->@-~]{0,500}$"""  # printable ASCII without ? and #


def _check_signed_headers(names: tuple[str, ...]) -> tuple[str, ...]:
    if list(names) != sorted(set(names)):
        raise ValueError("must be in alphabetical order, each once: the signature requires it")
    if "host" not in names:
        raise ValueError("must contain host: without it a signature would be valid for any server")
    return names


SignedHeader: TypeAlias = Literal["content-length", "content-type", "host"]
SignedHeaders: TypeAlias = Annotated[
    tuple[SignedHeader, ...],
    Field(strict=False, min_length=1, max_length=3),
    AfterValidator(_check_signed_headers),
]


class HuaweiCmsSettings(SourceSection):
    """A Huawei CC-CMS: licence usage of a call centre. See
    [platforms/huawei-cms.md](platforms/huawei-cms.md)."""

    type: Literal["huawei_cms"] = "huawei_cms"
    """Selects the platform."""
    url: HttpUrl
    """Scheme, host and port; a path in it precedes `path`."""
    access_key: Annotated[str, StringConstraints(pattern=_ACCESS_KEY)]
    """Access key of a system user with the permission to query licences."""
    secret_key: Secret
    """Secret key of that user; it signs each request."""
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    """Shortest time between the starts of any two queries, over all zones. Huawei documents no
    limit; one query a second is assumed."""
    path: Annotated[str, StringConstraints(pattern=_PATH)] = LICENCE_PATH
    """Path of the interface; a proxy may have another."""
    timestamp_format: Literal["seconds", "milliseconds"] = "seconds"
    """Precision of the signature's time; some ports of the signer use `milliseconds`."""
    signed_headers: SignedHeaders = ("host",)
    """Headers that the signature covers: `["host"]`, or all three."""
    licence_warn_days: Annotated[int, Field(ge=0, le=3_650)] = 30
    """A licence that ends within this many days causes a warning."""


class AgentSettings(Section):
    """One entry of `agents`."""

    id: Annotated[int, Field(ge=AGENT_ID_MIN, le=AGENT_ID_MAX)]
    """Work number of the agent."""
    password: Secret
    """Password of the agent."""
    phone: Annotated[Text, StringConstraints(min_length=1)]
    """Phone number with which the agent signs in."""


class SignInSettings(Section):
    """Body of a sign-in: each setting is sent under its name without underscores. Huawei does not
    document every value; each default is an assumption."""

    agent_type: Annotated[int, Field(ge=0, le=100)] = 4
    """Kind of agent; 4 is the value in Huawei's example."""
    status: Annotated[int, Field(ge=0, le=100)] = 4
    """State after the sign-in; 4 is idle."""
    auto_answer: bool = True
    """Whether calls are answered without an action of the agent."""
    auto_enter_idle: bool = False
    """Whether the agent becomes idle again after a call; false for agents who are signed in only to
    be counted."""
    release_phone: bool = True
    """Whether the phone is released after a call."""
    ip: Text = ""
    """IP address of the agent's workstation; empty: none."""


class HuaweiAgentGatewaySettings(SourceSection):
    """A Huawei CC-Gateway: current calls of each agent. See
    [platforms/huawei-agent-gateway.md](platforms/huawei-agent-gateway.md)."""

    renamed_keys: ClassVar = {
        "queries_at_once": "max_concurrent_queries",
        "event_polls_at_once": "max_concurrent_event_polls",
    }

    type: Literal["huawei_agent_gateway"] = "huawei_agent_gateway"
    """Selects the platform."""
    url: HttpUrl
    """Scheme, host and port; a path in it precedes `/agentgateway`."""
    agents: Annotated[tuple[AgentSettings, ...], Field(strict=False, max_length=AGENTS_MAX)] = ()
    """Agents whom this service signs in. Empty: the agents' desktops hand their sessions over, with
    `PUT /v1/zones/{zone}/agents/{id}/guid`."""
    force_sign_in: bool = False
    """Whether a session that an agent has elsewhere is ended."""
    sign_in: SignInSettings = SignInSettings()
    """Body of a sign-in."""
    min_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MS_MAX)] = 1_000
    """Shortest time between two rounds over all agents. One round a second is assumed."""
    max_concurrent_queries: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests under way at the same time, in addition to event polls."""
    max_concurrent_event_polls: Annotated[int, Field(ge=1, le=4_000)] = 500
    """Event polls under way at the same time; each lasts up to 10 s, and one serves five agents."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        raise_problems("source", self._find_problems())
        return self

    def _find_problems(self) -> Iterator[Problem]:
        ids = [agent.id for agent in self.agents]
        seen: set[int] = set()
        for i, agent in enumerate(ids):
            if agent in seen:
                yield Problem(place=("agents", i, "id"), message=f"{agent} is listed twice")
            seen.add(agent)
        minimum = -(-len(ids) // AGENTS_PER_EVENT_POLL)
        if self.max_concurrent_event_polls < minimum:
            message = f"must be at least {minimum} for {len(ids)} agents, or their sessions expire"
            yield Problem(place=("max_concurrent_event_polls",), message=message)

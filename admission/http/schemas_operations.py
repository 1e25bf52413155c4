"""Answers about pauses, limits and policies as models, for the description only."""

from typing import Any

from pydantic import BaseModel, Field, RootModel

from admission.http.schemas import ZoneTime
from admission.policy_zone import ZonePolicy


class PauseAnswer(BaseModel):
    """What a pause or a resume did."""

    now: ZoneTime
    zone: str
    pool: str | None = Field(description="Null: the whole zone.")
    paused: bool
    changed: bool = Field(description="False: it was so before.")
    version: int = Field(description="Of the policy: pauses belong to it.")


class LimitAnswer(BaseModel):
    """A limit for a while."""

    now: ZoneTime
    zone: str
    pool: str
    limit: int = Field(description="What counts now: the smallest of all limits of the pool.")
    set_limit: int
    until: ZoneTime = Field(description="When it lapses, unless it is set again.")


class PolicyAnswer(BaseModel):
    """The live policy of a zone."""

    now: ZoneTime
    zone: str
    version: int = Field(description="Grows with every change; also the ETag.")
    digest: str = Field(description="SHA-256 of the policy: equal for files that say the same.")
    policy: ZonePolicy = Field(description="As it was written, without defaults.")
    paused: dict[str, ZoneTime] = Field(description="Paused pools, or `zone`, and since when.")
    changed: bool = Field(False, description="After PUT and PATCH: it was not so before.")


class PolicyPatch(RootModel[dict[str, Any]]):
    """A JSON merge patch (RFC 7396) of a policy: what changes; null removes."""

"""What all models of responses share."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Ms: TypeAlias = Annotated[int, Field(description="Milliseconds.")]
ZoneTime: TypeAlias = Annotated[int, Field(description="The zone's time in ms.")]


class Response(BaseModel):
    """What the service sends. Its fields are described by the docstrings below them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

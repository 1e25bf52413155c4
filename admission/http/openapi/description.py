"""The description of the API in its two forms: JSON for programs, a page for people."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from admission.http.openapi import page
from admission.http.responses import encode


class Description:
    """What the API says of itself, made when somebody first asks.

    Args:
        make: -> the OpenAPI document.
    """

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return self._make()

    @cached_property
    def json(self) -> bytes:
        """The document as it is sent."""
        return encode(self.document)

    @cached_property
    def html(self) -> str:
        """The document as a page to read."""
        return page.page(self.document)

"""The OpenAPI document as JSON and as an HTML page, each built at the first request for it."""

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

from admission.http.openapi import page
from admission.http.responses import encode


class Description:
    """The OpenAPI document and its serialized forms.

    Args:
        build: returns the OpenAPI document.
    """

    def __init__(self, build: Callable[[], dict[str, Any]]) -> None:
        self._build = build
        self._building = threading.Lock()

    def get_json(self) -> bytes:
        """`json`, from any thread: it is built once."""
        with self._building:
            return self.json

    def get_html(self) -> str:
        """`html`, from any thread: it is built once."""
        with self._building:
            return self.html

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return self._build()

    @cached_property
    def json(self) -> bytes:
        """The document as JSON."""
        return encode(self.document)

    @cached_property
    def html(self) -> str:
        """The document as an HTML page."""
        return page.render(self.document)

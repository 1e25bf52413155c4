"""JSON over HTTP with one Huawei server: an exchange ends in time, in an object or a SourceError.

This module repeats no request. Error details contain the server's words without the secrets of the
exchange.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from admission.config import SourceSection
from admission.errors import SourceError
from admission.sources.authentication import CredentialsRefused
from admission.sources.base import sanitize_line
from admission.sources.transport import (
    HttpSession,
    check_head,
    encode_url,
    exchange_within,
    read_body,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A server's answer.

    Args:
        body: the JSON object.
        headers: unchanged.
        cookies: name -> value of those that the answer sets.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    cookies: Mapping[str, str] = field(default_factory=dict)


class JsonClient:
    """Exchanges JSON with one server over a few shared connections.

    Args:
        settings: the server's address.
        connections_max: exchanges at the same time; further ones wait, inside their time-out.

    Raises:
        ConfigError: the `ca_file` cannot be used.

    Example:
        client = JsonClient(settings, connections_max=4)
        reply = await client.send("GET", "/version", what="version", headers={})
        await client.close()
    """

    def __init__(self, settings: SourceSection, *, connections_max: int) -> None:
        self._base = str(encode_url(settings.url)).rstrip("/")
        self._address = settings.place
        self._timeout_ms = settings.timeout_ms
        self._http = HttpSession(settings, connections_max=connections_max)

    def url(self, path: str) -> URL:
        """The URL of a path, encoded exactly as it is sent."""
        return URL(self._base + path, encoded=True)

    async def send(
        self,
        method: str,
        path: str,
        *,
        what: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_ms: int = 0,
        secrets: Collection[str] = (),
    ) -> Reply:
        """Perform one exchange.

        Args:
            what: its name in errors.
            headers: in addition to those of HTTP itself.
            timeout_ms: instead of the setting's, for requests that the server holds back.
            secrets: masked in errors, should the server echo them.

        Raises:
            CredentialsRefused: the server refuses the credentials.
            SourceError: any other failure.
        """
        try:
            async with exchange_within(timeout_ms or self._timeout_ms):
                return await self._exchange(method, path, headers, body)
        except CredentialsRefused as error:
            raise CredentialsRefused(self._locate(what, error, secrets), date=error.date) from None
        except SourceError as error:
            raise SourceError(self._locate(what, error, secrets)) from None

    async def close(self) -> None:
        """Close the connections; exchanges under way fail. A second call does nothing."""
        await self._http.close()

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        exchange = self._http.exchange(method, self.url(path), headers=headers, body=body or b"")
        async with exchange as response:
            check_head(response)
            text = await read_body(response)
            return Reply(
                body=_parse_object(text, response.status),
                headers=response.headers,
                cookies={name: one.value for name, one in response.cookies.items()},
            )

    def _locate(self, what: str, error: SourceError, secrets: Collection[str]) -> str:
        return f"{what} at {self._address}: {redact(error.detail, secrets)}"


def redact(text: str, secrets: Collection[str]) -> str:
    """Make a server's text one line without these secrets, in whatever encoding."""
    return sanitize_line(text, secrets=secrets)


def _parse_object(text: bytes, status: int) -> Mapping[str, Any]:
    """The JSON object of an answer; an object may come with any status and explains an error."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    except RecursionError:
        raise SourceError("the answer is JSON that is nested too deeply") from None
    if isinstance(found, dict):
        return found
    if status >= 300:
        raise SourceError(f"failed with HTTP status {status}")
    if text.lstrip()[:1] == b"<":
        raise SourceError("answered with an HTML page or XML, not with JSON")
    raise SourceError("the answer is no JSON object" if text else "answered with nothing")

"""How the commands talk to a running service: one bounded request, and what its answer means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from admission.errors import AdmissionError, ConfigError, Unavailable

TIMEOUT: Final = ClientTimeout(total=30, sock_connect=5)


class Refused(AdmissionError):
    """The service answered, and did not do it.

    Args: status: of the answer. detail: every reason, a line each.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service is, and the token to show it; none: an empty one."""

    url: str
    token: str = ""


class Api:
    """A client of one service, for the time of an `async with`.

    Raises:
        ConfigError: the place is no HTTP URL.
    """

    def __init__(self, place: Place) -> None:
        if urlsplit(place.url).scheme not in ("http", "https") or not urlsplit(place.url).netloc:
            raise ConfigError(f"{place.url}: is not a URL such as http://127.0.0.1:8080")
        self._place = place

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._place.token}"} if self._place.token else {}
        self._session = ClientSession(headers=headers, timeout=TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON of the answer.

        Raises:
            Unavailable: nobody answers there, or it cannot answer now.
            Refused: it answered with a fault.
        """
        url = self._place.url.rstrip("/") + path
        try:
            async with self._session.request(
                method, url, json=body, headers=headers, allow_redirects=False
            ) as answer:
                return _meant(answer.status, await answer.read())
        except (TimeoutError, ClientError, OSError) as fault:
            why = str(fault) or type(fault).__name__
            raise Unavailable(f"{self._place.url} cannot be reached: {why}") from None
        except ValueError:
            raise Unavailable(f"{self._place.url} does not talk like this service") from None


def path_of(zone: str, *parts: str) -> str:
    """The path of a zone, or of something in it."""
    return "/v1/zones/" + "/".join(quote(part, safe=":") for part in (zone, *parts))


def _meant(status: int, body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("no object")
    if status == 503:
        raise Unavailable(str(found.get("detail", "the service cannot answer now")))
    if status != 200:
        raise Refused(status, _reasons(found))
    return found


def _reasons(problem: dict[str, Any]) -> str:
    head = str(problem.get("detail") or problem.get("title") or "refused")
    wrong = problem.get("errors") or ()
    return "\n".join([head, *(f"  {one['field']}: {one['message']}" for one in wrong)])

"""Options, help texts and requests that the commands share.

This module and the modules of the commands import neither aiohttp nor rich: `admission serve` and
`admission --version` load them all. A command imports these libraries when it runs.
"""

import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import quote

import typer

from admission.cli.plain_help import PlainHelpCommand
from admission.domain.visible_text import make_all_visible, make_visible
from admission.errors import CallerError, ConfigError, Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from admission.client.transport import Transport

OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130  # 130: 128 + SIGINT, as in a shell
GRANTED, DENIED = OK, FAILED
EXIT_CODES: Final = "exit codes: 0 granted or ok, 1 denied or failed, 2 usage, 3 unreachable"

DEFAULT_URL: Final = "http://127.0.0.1:8080"
URL_ENV, TOKEN_ENV = "ADMISSION_URL", "ADMISSION_TOKEN"
TIMEOUT_S: Final = 30.0
LINE_END: Final = "\n"

# The sections of `admission --help`, in this order.
SERVICE, PLATFORMS = "Service", "Platforms"
DIALER, OPERATIONS = "Admissions by hand", "Operations"
# The sections of a command's help.
CONNECTION, OUTPUT = "Connection", "Output"

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar=URL_ENV,
        metavar="URL",
        help="Base URL of the service.",
        rich_help_panel=CONNECTION,
    ),
]
TokenEnv = Annotated[
    str,
    typer.Option(
        "--token-env",
        metavar="NAME",
        help="Environment variable that holds the bearer token.",
        rich_help_panel=CONNECTION,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)]

T = TypeVar("T")
Run = TypeVar("Run", bound=Callable[..., int])


def command(app: typer.Typer, name: str, section: str, *examples: str) -> Callable[[Run], Run]:
    """Register a function as the command `name`. The docstring of the function is the help.

    Args:
        section: of `admission --help`.
        examples: command lines that the help shows.
    """
    lines = ["examples:", *(f"  {example}" for example in examples), "", EXIT_CODES]
    decorate: Callable[[Run], Run] = app.command(
        name, cls=PlainHelpCommand, rich_help_panel=section, epilog="\n".join(lines)
    )
    return decorate


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A service, as the connection options name it.

    Example:
        `Remote(url="http://127.0.0.1:8080").request("GET", "/v1/zones")`
    """

    url: str = DEFAULT_URL
    token_env: str = TOKEN_ENV

    def request(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        """Send one request and return the JSON object of the response.

        Raises:
            ConfigError: the URL or the named environment variable cannot be used.
            Unavailable: the service cannot be reached, or cannot answer now.
            CallerError: the service refused the request.
        """
        return self.run(lambda api: api.request(method, path, body, timeout_s=timeout_s))

    def run(self, use: "Callable[[Api], Coroutine[Any, Any, T]]") -> T:
        """Run `use` with an open connection to the service. Raises as `request`."""
        import asyncio

        return asyncio.run(self._run(use))

    async def _run(self, use: "Callable[[Api], Coroutine[Any, Any, T]]") -> T:
        from admission.client.transport import Transport

        async with Transport(self.url, token=self._read_token()) as transport:
            return await use(Api(transport))

    def _read_token(self) -> str:
        token = os.environ.get(self.token_env, "")
        if not token and self.token_env != TOKEN_ENV:
            raise ConfigError(f"the environment variable {self.token_env} is not set")
        return token


class Api:
    """Requests of a command: one attempt each, with a bounded time."""

    def __init__(self, transport: "Transport") -> None:
        self._transport = transport

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object of the response.

        Raises:
            Unavailable: the service cannot be reached, or cannot answer now.
            CallerError: the service refused the request.
        """
        from admission.client.transport import Call

        call = Call(method=method, path=path, timeout_s=timeout_s, body=body, headers=headers)
        return (await self._transport.call(call)).body


def zone_path(zone: str, *parts: str) -> str:
    """Return the path of a zone, or of a resource of the zone."""
    return "/v1/zones/" + "/".join(quote(part, safe=":") for part in (zone, *parts))


def complain(message: object, code: int) -> int:
    """Print an error message, and return the exit code."""
    print(f"admission: {make_visible(str(message), keep=LINE_END)}", file=sys.stderr)
    return code


def describe_refusal(fault: CallerError) -> str:
    """Return the reason of a refused request, with a line for each wrong field."""
    if not isinstance(fault, Invalid) or not fault.errors:
        return fault.detail
    lines = (f"  {error.field}: {error.message}" for error in fault.errors)
    return "\n".join(["One or more fields are wrong.", *lines])


def show(response: T, render: "Callable[[T], RenderableType]", *, as_json: bool) -> None:
    """Print a response: as JSON, or as `render` displays it, without invisible characters."""
    if as_json:
        print(json.dumps(response, indent=2))
        return
    from admission.cli.output import print_report

    print_report(render(make_all_visible(response)))

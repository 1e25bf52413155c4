"""Faults of the simulated Huawei platforms, and their answers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, TypeAlias

from aiohttp import web
from pydantic import Field, StringConstraints

from admission.domain import StrictModel
from admission.sim.faults import FAULTS_MAX, UNSIGNED_WRAP, ActiveFaults, InjectedFault

HUGE_BYTES: Final = 8 * 2**20
HANG_S_MAX: Final = 600.0

HuaweiFaultKind: TypeAlias = Literal[
    "slow",  # answers after delay_ms
    "hang",  # reads the request and does not answer
    "drop",  # closes the connection
    "unauthorized",  # 401
    "html",  # an HTML error page with status 200
    "not_json",
    "http_500",
    "huge",  # an answer of 8 MiB
    "code",  # the platform's own error `code`, with status 200
    "wrap",  # counters are 4294967295
    "above_limit",  # more current calls than the licence allows
    "missing",  # a good answer without its numbers
]


class HuaweiFault(InjectedFault):
    """One fault.

    Args:
        kind: its effect.
        operations: `licence`, `sign_in`, `sign_out`, `event`, `callnums`; empty: all.
        code: of the kind `code`: a resultCode or retcode.
        message: the platform's words with it.
    """

    kind: HuaweiFaultKind
    code: Annotated[str, StringConstraints(max_length=20)] = "100-007"
    message: Annotated[str, StringConstraints(max_length=200)] = "injected fault"


class HuaweiFaults(StrictModel):
    """The body of `PUT /sim/faults`; it replaces all active faults."""

    faults: Annotated[list[HuaweiFault], Field(max_length=FAULTS_MAX)]


class FaultInjector:
    """Replaces or corrupts answers by the active faults.

    Args:
        faults: the active faults.
        refuse: builds the platform's answer for an error code and its message.
        stop: set when the simulator ends; hanging requests end then.
    """

    def __init__(
        self,
        faults: ActiveFaults[HuaweiFault],
        refuse: Callable[[str, str], web.Response],
        stop: asyncio.Event,
    ) -> None:
        self._stop = stop
        self._faults = faults
        self._refuse = refuse

    async def answer(
        self,
        request: web.Request,
        operation: str,
        respond: Callable[[], Awaitable[web.Response]],
        corrupt: Callable[[str], web.Response],
    ) -> web.Response:
        """Answer a request.

        Args:
            request: of the platform's client.
            operation: its name in faults.
            respond: builds the correct answer.
            corrupt: builds an answer with wrong counts: `wrap`, `above_limit`, `missing`.
        """
        fault = self._faults.pick(operation)
        if fault is None:
            return await respond()
        if fault.kind == "slow":
            await self._pause(fault.delay_ms / 1000)
            return await respond()
        if fault.kind in ("wrap", "above_limit", "missing"):
            return corrupt(fault.kind)
        if fault.kind == "code":
            return self._refuse(fault.code, fault.message)
        if fault.kind == "hang":
            await self._pause(HANG_S_MAX)
        return _break_answer(request, fault.kind)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


def corrupt_counts(kind: str, counts: dict[str, Any], used: tuple[str, ...]) -> dict[str, Any]:
    """Replace the counters of current calls, named by `used`, by wrong ones; `missing`: none."""
    if kind == "missing":
        return {}
    wrong = UNSIGNED_WRAP if kind == "wrap" else 10**6
    return counts | dict.fromkeys(used, wrong)


def _break_answer(request: web.Request, kind: str) -> web.Response:
    if kind in ("hang", "drop"):
        if request.transport:
            request.transport.abort()
        return web.Response()
    return {
        "unauthorized": lambda: web.Response(status=401),
        "html": lambda: web.Response(text="<html>Sorry</html>", content_type="text/html"),
        "not_json": lambda: web.Response(text="OK 1", content_type="application/json"),
        "http_500": lambda: web.Response(status=500, text="Internal Server Error"),
        "huge": lambda: web.Response(body=b" " * HUGE_BYTES, content_type="application/json"),
    }[kind]()

"""Many in one body: each is answered by itself, in the place where it stood."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from aiohttp import web

from admission.domain.types import Answer
from admission.http.context import REQUEST_ID
from admission.http.problems import problem_of
from admission.http.responses import json_response


async def answer_each(
    request: web.Request, works: Iterable[Coroutine[Any, Any, Answer]]
) -> web.Response:
    """Run all concurrently; they reach the decider in order, as tasks start in order."""
    return answers_of(request, await asyncio.gather(*works, return_exceptions=True))


def answers_of(request: web.Request, found: Iterable[Answer | BaseException]) -> web.Response:
    """Answers and faults, each in its place."""
    return json_response({"results": [_result(one, request[REQUEST_ID]) for one in found]})


def _result(one: Answer | BaseException, request_id: str) -> Answer:
    if isinstance(one, BaseException):
        problem = problem_of(one, request_id)
        return {"status": problem["status"], **problem}
    return {"status": 200, **one}

"""Responses to batches: one result for each item, in the order of the request."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from aiohttp import web

from admission.domain import Answer
from admission.http.context import REQUEST_ID
from admission.http.problems import problem_of
from admission.http.responses import json_response


async def respond_to_each(
    request: web.Request, calls: Iterable[Coroutine[Any, Any, Answer]]
) -> web.Response:
    """Run all calls concurrently; they reach the decider in order, because tasks start in order."""
    return respond(request, await asyncio.gather(*calls, return_exceptions=True))


def respond(request: web.Request, results: Iterable[Answer | BaseException]) -> web.Response:
    """The response with these answers and errors."""
    return json_response({"results": [_build_result(one, request[REQUEST_ID]) for one in results]})


def _build_result(result: Answer | BaseException, request_id: str) -> Answer:
    if isinstance(result, BaseException):
        problem = problem_of(result, request_id)
        return {"status": problem["status"], **problem}
    return {"status": 200, **result}

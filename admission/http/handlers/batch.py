"""Responses to batches: one result for each item, in the order of the request."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiohttp import web

from admission.domain import Answer
from admission.http.context import APP_CONTEXT, REQUEST_ID
from admission.http.problems import build_problem
from admission.http.responses import encode, json_bytes_response


async def respond_to_each(
    request: web.Request, calls: Sequence[Callable[[], Coroutine[Any, Any, Answer]]]
) -> web.Response:
    """Run all calls concurrently; they reach the decider in order, because tasks start in order."""
    tasks: list[asyncio.Task[Answer]] = []
    try:
        await request.app[APP_CONTEXT].slices.run(
            calls, lambda some: tasks.extend([asyncio.create_task(call()) for call in some])
        )
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    return await respond(request, await asyncio.gather(*tasks, return_exceptions=True))


async def respond(request: web.Request, results: Sequence[Answer | BaseException]) -> web.Response:
    """The response with these answers and errors."""
    request_id = request[REQUEST_ID]

    def encode_slice(some: Sequence[Answer | BaseException]) -> bytes:
        return encode([_build_result(one, request_id) for one in some])[1:-1]

    slices = await request.app[APP_CONTEXT].slices.run(results, encode_slice)
    return json_bytes_response(b'{"results":[' + b",".join(slices) + b"]}")


def _build_result(result: Answer | BaseException, request_id: str) -> Answer:
    if isinstance(result, BaseException):
        problem = build_problem(result, request_id)
        return {"status": problem["status"], **problem}
    return {"status": 200, **result}

"""Queries from outside."""

from aiohttp import web

from admission.errors import FieldError, Invalid


def once_each(request: web.Request) -> dict[str, str]:
    """The parameters; raises `Invalid` if one is given twice."""
    named = dict(request.query)
    if len(named) != len(request.query):
        raise Invalid(FieldError(field="query", message="A parameter is given twice"))
    return named

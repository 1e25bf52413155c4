"""What a request costs its caller of the request rate: one, and more for what a body holds."""

from aiohttp import web

from admission.http.auth.tokens import ANONYMOUS, Caller
from admission.http.context import APP_CONTEXT, CALLER_KEY, AppContext


def find_caller_key(request: web.Request, caller: Caller | None, context: AppContext) -> str:
    """Whom a request counts against: its token, else its address."""
    if caller is None or caller is ANONYMOUS:
        return f"address {context.addresses.of(request)}"
    return f"token {caller.name}"


def count_request(request: web.Request, caller: Caller | None, context: AppContext) -> None:
    """Count a request; `caller` None: it proved no rights. Raises `TooFast`."""
    key = find_caller_key(request, caller, context)
    request[CALLER_KEY] = key
    context.rate.take(key)


def mark_known(request: web.Request) -> None:
    """A caller proved a right on the connection of this request: it gives way last."""
    know_caller = getattr(request.protocol, "know_caller", None)  # another server has no places
    if know_caller is not None:
        know_caller()


def charge_units(request: web.Request, units: int) -> None:
    """Charge what the body of a request holds; the request itself was counted as one.

    The request is answered all the same: what its caller owes delays the requests after it.
    """
    if units > 1:
        request.app[APP_CONTEXT].rate.charge(request[CALLER_KEY], units - 1)

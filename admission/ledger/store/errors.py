"""Errors of Redis and of its client as exceptions of this project."""

import re

from redis import exceptions

from admission.errors import AdmissionError, Unavailable


class RedisUnreachable(Unavailable):
    """Redis did not answer at all, or not in time.

    Args:
        is_timeout: the connection stood, but no reply came in time.
    """

    def __init__(
        self, detail: str, *, retry_after_s: float = 1.0, is_timeout: bool = False
    ) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.is_timeout = is_timeout


OPERATOR_S = 5.0  # how soon to retry where only an operator helps

# Error codes of Redis. Inside a script a code stands anywhere in the text: 6.2 writes "ERR Error
# running script …: -OOM command not allowed", 7.0 and newer begin with the code itself.
_CODES: dict[str, tuple[str, float]] = {
    "LOADING": ("The ledger's Redis is still loading its data", 1.0),
    "READONLY": ("The ledger's Redis is a replica and takes no writes", 1.0),
    "NOREPLICAS": ("The ledger's Redis has too few replicas to take a write", 1.0),
    "MASTERDOWN": ("The ledger's Redis has lost its primary", 1.0),
    "CLUSTERDOWN": ("The ledger's Redis Cluster is down", 1.0),
    "TRYAGAIN": ("The zone's slot is moving to another Redis node", 1.0),
    "MOVED": ("Another Redis node has the zone's slot", 1.0),
    "ASK": ("The zone's slot is moving to another Redis node", 1.0),
    "BUSY": ("The ledger's Redis is busy with a script", 1.0),
    "OOM": ("The ledger's Redis is full (maxmemory)", OPERATOR_S),
    "MISCONF": ("The ledger's Redis cannot write to its disk", OPERATOR_S),
    "NOAUTH": ("The ledger's Redis asks for a password", OPERATOR_S),
    "WRONGPASS": ("The ledger's Redis refuses these credentials", OPERATOR_S),
    "NOPERM": ("The ledger's Redis user lacks a permission", OPERATOR_S),
}
_CODE = re.compile(rf"(?:^|[\s-])({'|'.join(_CODES)})\b")

# redis-py removes the code from the text of the errors that have a class of their own.
# The first match counts, so a subclass stands before its base.
_CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.AuthorizationError, "NOPERM"),
    (exceptions.AuthenticationError, "WRONGPASS"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.AskError, "ASK"),
)
_LATE: tuple[type[BaseException], ...] = (exceptions.TimeoutError, TimeoutError)
_AWAY: tuple[type[BaseException], ...] = (
    exceptions.ConnectionError,
    exceptions.RedisClusterException,
    exceptions.InvalidResponse,
    OSError,
)


# BlockingConnectionPool of redis-py: no connection became free in time. A ConnectionError, though
# no request was sent to Redis.
_NO_FREE_CONNECTION = "No connection available."


def translate(exc: BaseException) -> AdmissionError:
    """The error to raise for an exception of the Redis client; its text names no host or key.

    Faults that pass, or that an operator repairs, become `Unavailable`. Any other fault is an error
    inside a script: a plain `AdmissionError`. An `AdmissionError` is returned unchanged.
    """
    if isinstance(exc, AdmissionError):
        return exc
    if code := _find_code(exc := root(exc)):
        detail, retry_after_s = _CODES[code]
        return Unavailable(detail, retry_after_s=retry_after_s)
    if isinstance(exc, _LATE):
        return RedisUnreachable("The ledger's Redis did not answer in time", is_timeout=True)
    if isinstance(exc, exceptions.ConnectionError) and str(exc) == _NO_FREE_CONNECTION:
        return Unavailable("All connections to the ledger's Redis are in use")
    if isinstance(exc, _AWAY):
        return RedisUnreachable("The ledger's Redis is out of reach")
    return AdmissionError("The ledger failed")


def is_deposed(exc: BaseException) -> bool:
    """Whether the server that answered is, or may be, no longer a primary."""
    return _find_code(root(exc)) in ("READONLY", "NOREPLICAS", "MASTERDOWN")


def root(exc: BaseException) -> BaseException:
    """The cause of a failed connection: redis-py wraps it, a refused login too."""
    wrapped = exc.__cause__ if type(exc) is exceptions.ConnectionError else None
    return wrapped if isinstance(wrapped, exceptions.RedisError) else exc


def _find_code(exc: BaseException) -> str | None:
    for kind, code in _CLASSES:
        if isinstance(exc, kind):
            return code
    if not isinstance(exc, exceptions.ResponseError):
        return None
    found = _CODE.search(str(exc))
    return found[1] if found else None

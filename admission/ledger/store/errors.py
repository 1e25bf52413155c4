"""What Redis can answer instead of a result, in the words of this project: one function."""

import re

from redis import exceptions

from admission.errors import AdmissionError, Unavailable


class RedisUnreachable(Unavailable):
    """Redis did not answer at all, or not in time."""


OPERATOR_S = 5.0  # how often to ask again where only an operator helps

# Redis' own error codes. Inside a script they stand anywhere in the text: 6.2 writes "ERR Error
# running script …: -OOM command not allowed", 7.0 and newer lead with the code itself.
_CODES: dict[str, tuple[str, float]] = {
    "LOADING": ("The ledger's Redis is still loading its data", 1.0),
    "READONLY": ("The ledger's Redis is a replica and takes no writes", 1.0),
    "NOREPLICAS": ("The ledger's Redis has too few replicas to take a write", 1.0),
    "MASTERDOWN": ("The ledger's Redis has lost its primary", 1.0),
    "CLUSTERDOWN": ("The ledger's Redis Cluster is down", 1.0),
    "TRYAGAIN": ("The zone's slot is moving to another Redis node", 1.0),
    "MOVED": ("The zone's slot lives on another Redis node", 1.0),
    "ASK": ("The zone's slot is moving to another Redis node", 1.0),
    "BUSY": ("The ledger's Redis is busy with a script", 1.0),
    "OOM": ("The ledger's Redis has reached its maxmemory", OPERATOR_S),
    "MISCONF": ("The ledger's Redis cannot write to its disk", OPERATOR_S),
    "NOAUTH": ("The ledger's Redis asks for a password", OPERATOR_S),
    "WRONGPASS": ("The ledger's Redis refuses these credentials", OPERATOR_S),
    "NOPERM": ("The ledger's Redis user lacks a permission", OPERATOR_S),
}
_CODE = re.compile(rf"(?:^|[\s-])({'|'.join(_CODES)})\b")

# redis-py cuts the code off the text of the errors that have a class of their own.
# The first that fits counts, so a subclass stands before its base.
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


def translate(exc: BaseException) -> AdmissionError:
    """The error to raise for what the Redis client raised; its text names no host or key.

    Faults that pass, or that an operator mends, become `Unavailable`. What is left is a mistake
    of ours (an error inside a script), a plain `AdmissionError`. One of ours is handed back.
    """
    if isinstance(exc, AdmissionError):
        return exc
    if code := _code(exc := root(exc)):
        detail, retry_after_s = _CODES[code]
        return Unavailable(detail, retry_after_s=retry_after_s)
    if isinstance(exc, _LATE):
        return RedisUnreachable("The ledger's Redis did not answer in time")
    if isinstance(exc, _AWAY):
        return RedisUnreachable("The ledger's Redis is out of reach")
    return AdmissionError("The ledger failed")


def is_deposed(exc: BaseException) -> bool:
    """Whether the server that answered is, or may be, a primary no more."""
    return _code(root(exc)) in ("READONLY", "NOREPLICAS", "MASTERDOWN")


def root(exc: BaseException) -> BaseException:
    """What went wrong while connecting: redis-py wraps it, a refused login too."""
    wrapped = exc.__cause__ if type(exc) is exceptions.ConnectionError else None
    return wrapped if isinstance(wrapped, exceptions.RedisError) else exc


def _code(exc: BaseException) -> str | None:
    for kind, code in _CLASSES:
        if isinstance(exc, kind):
            return code
    if not isinstance(exc, exceptions.ResponseError):
        return None
    found = _CODE.search(str(exc))
    return found[1] if found else None

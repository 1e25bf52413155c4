"""References to secrets: the configuration contains the place of a secret, never the secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import SecretStr, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

# A PEM bundle fits; a file that is no secret is refused.
SECRET_BYTES_MAX: Final = 65_536
_HOW: Final = 'write { env = "NAME" } or { file = "path" }'


class FileSecret(SecretStr):
    """A secret with the file that it came from, so that a change of the file is noticed.

    Args:
        value: as the file had it.
        path: of the file.
    """

    def __init__(self, value: str, path: str) -> None:
        super().__init__(value)
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and (
            self.get_secret_value() == other.get_secret_value()
        )

    __hash__ = SecretStr.__hash__


def read_again(secret: SecretStr) -> SecretStr:
    """Read the file of a secret again. Returns the known one where there is no file to read."""
    if not isinstance(secret, FileSecret):
        return secret
    try:
        return _read_file(secret.path)
    except ValueError:  # it is being replaced: the next reading succeeds
        return secret


def resolve_secret(value: Any, info: ValidationInfo) -> SecretStr:
    """Resolve a reference; the validation's context has `environ`.

    Raises:
        ValueError: it is no reference, or there is no secret.
    """
    if isinstance(value, SecretStr):
        return value
    if isinstance(value, str) and info.context is None:
        return SecretStr(value)  # from a program: only files are validated with a context
    if isinstance(value, str):
        raise ValueError(f"a secret is never in the file itself: {_HOW}")
    match value:
        case {"env": str(name), **rest} if not rest:
            return _read_variable(name, (info.context or {}).get("environ", {}))
        case {"file": str(path), **rest} if not rest:
            return _read_file(path)
    raise ValueError(f"must refer to the secret: {_HOW}")


def _read_variable(name: str, environ: Mapping[str, str]) -> SecretStr:
    if not environ.get(name):
        raise ValueError(f"the environment variable {name} is not set")
    return SecretStr(environ[name])


def _read_file(path: str) -> SecretStr:
    """Read a file without its last line end, which editors and `echo` add."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot read the file {path}: {error.strerror}") from None
    except ValueError:  # a NUL in the path, or bytes that are not UTF-8
        raise ValueError("the file is not a text file in UTF-8") from None
    if not text or len(content) > SECRET_BYTES_MAX:
        raise ValueError(f"the file {path} is empty or larger than {SECRET_BYTES_MAX} bytes")
    return FileSecret(text, path)


def _resolve(value: Any, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> SecretStr:
    """The result is not handed on to pydantic, which would make another object of it."""
    return resolve_secret(value, info)


Secret: TypeAlias = Annotated[SecretStr, WrapValidator(_resolve)]

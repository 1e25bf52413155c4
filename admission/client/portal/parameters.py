r"""The `parameters` field of a launch: `name=value` joined by `;`, several values by `,`.

Source: the platform page of Experience Portal. A literal `;` is written `\;`; nothing is documented
for a literal `,` or `\`, so what could not be read back as it was meant is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Parameters: TypeAlias = Mapping[str, str | Sequence[str]]
_NAME: Final = re.compile(r"[^\s=;,\\][^=;,\\]*")


def write_parameters(parameters: Parameters) -> str:
    """The field's text.

    Args: parameters: name -> a value, or several.

    Raises:
        ValueError: a name or a value that the platform has no way to write.
    """
    return ";".join(f"{_name(name)}={_values(name, said)}" for name, said in parameters.items())


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"parameters: {name!r} cannot be a name: it is empty or has one of =;,\\")
    return name


def _values(name: str, said: str | Sequence[str]) -> str:
    return ",".join(_value(name, one) for one in ([said] if isinstance(said, str) else said))


def _value(name: str, value: str) -> str:
    if "," in value:
        raise ValueError(f"parameters: {name}: a comma separates values: give them as a list")
    if value.endswith("\\") or "\\;" in value:
        raise ValueError(f"parameters: {name}: a backslash there would hide what follows it")
    return value.replace(";", "\\;")

r"""The `parameters` field of a launch: `name=value` joined by `;`, several values by `,`.

Source: the platform page of Experience Portal. A literal `;` is written `\;`. Nothing is documented
for a literal `,` or `\`, so a value that the platform could misread is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Parameters: TypeAlias = Mapping[str, str | Sequence[str]]
_NAME: Final = re.compile(r"[^\s=;,\\][^=;,\\]*")


def write_parameters(parameters: Parameters) -> str:
    """Return the text of the field.

    Args: parameters: name -> a value, or several.

    Raises:
        ValueError: the format cannot express a name or a value.
    """
    return ";".join(
        f"{_check_name(name)}={_join_values(name, value)}" for name, value in parameters.items()
    )


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"parameters: {name!r} cannot be a name: it is empty or has one of =;,\\")
    return name


def _join_values(name: str, value: str | Sequence[str]) -> str:
    return ",".join(
        _escape_value(name, one) for one in ([value] if isinstance(value, str) else value)
    )


def _escape_value(name: str, value: str) -> str:
    if "," in value:
        raise ValueError(f"parameters: {name}: a comma separates values: give them as a list")
    if value.endswith("\\") or "\\;" in value:
        raise ValueError(f"parameters: {name}: a backslash there would escape the next character")
    return value.replace(";", "\\;")

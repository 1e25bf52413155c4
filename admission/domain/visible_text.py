"""Characters that a reader does not see, or that a terminal obeys: refused, or made visible.

Control characters begin the commands of terminals (ESC) or go back to overwrite a line (CR, BS).
Bidirectional controls show text in another order than it has; zero-width characters make two names
look equal. No name needs one of them.
"""

import re
from typing import Any, Final

# Ranges of a regular expression: Cc, Cf, Zl and Zp of the Unicode standard up to U+FFFF, as the
# engines of Python, Rust and ECMAScript read them, so that it can stand in a schema.
INVISIBLE: Final = (
    r"\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb"
)
# Beyond: tag characters, which are invisible copies of ASCII; and unpaired surrogates.
_INVISIBLE: Final = re.compile(rf"[{INVISIBLE}\U000e0000-\U000e007f\ud800-\udfff]")


def require_visible(text: str) -> str:
    """The text; raises ValueError if it has an invisible character."""
    if not text.isascii() and _INVISIBLE.search(text):
        raise ValueError("must have no invisible characters")
    return text


def make_visible(text: str, *, keep: str = "") -> str:
    """The text with an escape in place of each invisible character.

    Args: keep: invisible characters that stay, such as the line ends of a trace.

    Example: `make_visible("a\\x1b[2Jb")  # r"a\\x1b[2Jb"`
    """
    return _INVISIBLE.sub(lambda one: one[0] if one[0] in keep else _escape(one[0]), text)


def make_all_visible(value: Any) -> Any:
    """A JSON value with every text and key made visible."""
    if isinstance(value, str):
        return make_visible(value)
    if isinstance(value, dict):
        return {make_visible(name): make_all_visible(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(make_all_visible(one) for one in value)
    return value


def _escape(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"

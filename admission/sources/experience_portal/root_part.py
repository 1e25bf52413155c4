"""Finds the envelope in a body: the body itself, or the root part of `multipart/related`.

Axis 2 and CXF answer so with MTOM or with attachments. Sources: RFC 2387, section 3.2; XOP.
"""

from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from typing import Final

from admission.errors import SourceError
from admission.sources.base import sanitize_line

PARTS_MAX: Final = 20
TYPE_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPart:
    """An envelope as it was sent.

    Args:
        body: its bytes.
        charset: of its header; None: that of the XML declaration.
        content_type: of the answer, for errors.
    """

    body: bytes
    charset: str | None = None
    content_type: str = ""

    def describe(self) -> str:
        """The type in parentheses, for an error; empty: the server sent none."""
        return f" ({sanitize_line(self.content_type)[:80]})" if self.content_type else ""


def find_root_part(body: bytes, content_type: str) -> RootPart:
    """Find the part with the envelope.

    Args:
        body: of the answer; at most as long as the source reads.
        content_type: its header; empty: none.

    Raises:
        SourceError: a multipart body without a root part.
    """
    shown = content_type[:TYPE_CHARS_MAX]
    head = Message()
    head["Content-Type"] = shown.replace("\r", " ").replace("\n", " ")
    if not shown or head.get_content_maintype() != "multipart":
        return RootPart(body=body, charset=_read_charset(head), content_type=shown)
    whole = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1", "replace")
                               + b"\r\n\r\n" + body)  # fmt: skip
    payload = whole.get_payload()
    parts = [one for one in payload if isinstance(one, Message)] if whole.is_multipart() else []
    start = str(whole.get_param("start") or "").strip("<> ")
    roots = [one for one in parts[:PARTS_MAX] if str(one["Content-ID"]).strip("<> ") == start]
    root = next(iter(roots or parts), None)
    content = root.get_payload(decode=True) if root is not None else None
    if root is None or not isinstance(content, bytes):
        raise SourceError(f"the answer has no root part ({sanitize_line(shown)[:80]})")
    return RootPart(body=content, charset=_read_charset(root), content_type=shown)


def _read_charset(message: Message) -> str | None:
    charset = message.get_param("charset")
    return charset if isinstance(charset, str) and _is_known(charset) else None


def _is_known(charset: str) -> bool:
    try:
        "".encode(charset)
    except (LookupError, ValueError, UnicodeError):
        return False
    return True

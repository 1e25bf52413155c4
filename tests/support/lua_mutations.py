"""Mutations of the Lua script, located by comment tags.

A tag is a comment at the end of a line of Lua: `-- mutation: NAME`. A mutation names a tag and the
text that replaces the code of that line. A reworded line keeps its tag, so the mutation keeps its
place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha1

from admission.ledger import scripts

_TAG = re.compile(r"^(?P<code>.*\S)? *-- mutation: (?P<tag>[a-z0-9-]+)$", re.M)


class ScriptFailedError(Exception):
    """The script failed. No AssertionError: a mutation that breaks the script breaks no rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LuaMutation:
    """One rule of the script, broken.

    Args:
        name: what the broken script does.
        tag: of the line of Lua that states the rule.
        becomes: the Lua that replaces the line; empty removes it.
    """

    name: str
    tag: str
    becomes: str = ""

    def script(self) -> scripts.Script:
        """Return the script with the rule broken.

        Raises:
            LookupError: the tag is absent, or stands more than once.
        """
        return mutate(scripts.load("test").source, self.tag, self.becomes)


def tags(source: str) -> Iterator[str]:
    """Yield the tags of a source, in order."""
    for found in _TAG.finditer(source):
        yield found["tag"]


@cache
def mutate(source: str, tag: str, becomes: str) -> scripts.Script:
    """Replace the line that carries a tag.

    Raises:
        LookupError: the tag is absent, or stands more than once.
    """
    places = [found for found in _TAG.finditer(source) if found["tag"] == tag]
    if len(places) != 1:
        raise LookupError(f"the tag '-- mutation: {tag}' stands {len(places)} times in lua/")
    (place,) = places
    text = source[: place.start()] + becomes + source[place.end() :]
    return scripts.Script(source=text, sha=sha1(text.encode(), usedforsecurity=False).hexdigest())

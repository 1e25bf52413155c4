"""Python's cyclic garbage collector, set for a server: what was loaded to start stays for ever.

Left alone it looks through hundreds of thousands of such objects again and again while requests are
answered. What a request leaves behind is nearly all freed by its reference counts, at once.
"""

import gc
from typing import Final

# Objects more than were freed, before the youngest are looked through (Python's own: 700): a few
# hundred requests, some MB at most.
NEW_OBJECTS: Final = 20_000
YOUNG_ROUNDS: Final = 10  # looks at the youngest before one at those that survived one (as Python)
OLDER_ROUNDS: Final = 10


def settle() -> None:
    """Everything is loaded: pass over it from now on, and look for new cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_ROUNDS, OLDER_ROUNDS)

"""A clock that stands still until the test sets it."""


class ManualTime:
    """Returns `now` when it is called, as `time.monotonic` and its like do.

    Args:
        now: the first reading, in the unit of the clock that it stands for.
    """

    def __init__(self, now: float = 0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

"""Whether a receiver takes events at all, as all its lanes know together. Pure; the time is an argument.

An event that was tried for the last time is at fault only if the receiver takes other events. Where it takes none, the
receiver is down, and its events wait for it.
"""


class Standing:
    """What the tries of all lanes of one receiver have shown. Times are those of one clock, in seconds."""

    def __init__(self) -> None:
        self._taken_s: float | None = None
        self._failing_since_s: float | None = None

    def taken(self, now_s: float) -> None:
        """Note that the receiver has taken an event."""
        self._taken_s, self._failing_since_s = now_s, None

    def failed(self, now_s: float) -> None:
        """Note that a try has failed."""
        if self._failing_since_s is None:
            self._failing_since_s = now_s

    def has_taken_since(self, since_s: float) -> bool:
        """Return whether the receiver has taken an event since that time."""
        return self._taken_s is not None and self._taken_s >= since_s

    def down_s(self, now_s: float) -> float:
        """Return for how many seconds every try has failed."""
        return 0.0 if self._failing_since_s is None else now_s - self._failing_since_s

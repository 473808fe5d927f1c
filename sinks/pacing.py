"""When the uploads to a receiver begin that wants them at most every so many seconds. Pure; the time is an argument.

An upload sends every event that was written before it began, one call after the other; an event that was written later
waits for the next upload.
"""

from collections.abc import Callable


class Pacing:
    """The uploads to one receiver, of all partitions together.

    Args:
        period_s: Returns the seconds between the beginnings of two uploads, which may change.
    """

    def __init__(self, period_s: Callable[[], float]) -> None:
        self._period_s = period_s
        self._began_s: float | None = None

    def wait_s(self, written_s: float, now_s: float) -> float:
        """Return the seconds after which to ask again about an event; 0: it is part of the upload that is under way.

        Args:
            written_s: The time (epoch seconds) at which the event was written. A time in the future, which another
                machine's clock has told, counts as now.
            now_s: The time now, in epoch seconds.
        """
        began_s = self._began_s
        if began_s is not None and began_s <= now_s:
            if min(written_s, now_s) <= began_s:
                return 0.0
            left_s = began_s + self._period_s() - now_s
            if left_s > 0:
                return left_s
        self._began_s = now_s
        return 0.0

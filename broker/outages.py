"""Log lines of an outage, bounded in number, for operations that are tried again in a loop.

The first failure is logged; later failures give at most one line a minute, with the number of failures since the last
line. The recovery is logged where a failure was.
"""

import logging
import time
from collections.abc import Callable

_EVERY_S = 60.0


class OutageLog:
    """Logs one kind of outage through `logger`. All calls come from one thread."""

    def __init__(
        self, logger: logging.Logger, every_s: float = _EVERY_S, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._clock_s = clock_s
        self._logged_s: float | None = None
        self._unlogged = 0
        self._open = False

    def failed(self, sentence: str, level: int = logging.WARNING) -> None:
        """Report that the operation failed; `sentence` is logged unless a line was logged within the last minute."""
        now_s = self._clock_s()
        if self._logged_s is not None and now_s - self._logged_s < self._every_s:
            self._unlogged += 1
            return
        if self._unlogged:
            sentence = f"{sentence} ({self._unlogged} more failures since the last line about it)"
        self._logged_s, self._unlogged, self._open = now_s, 0, True
        self._logger.log(level, "%s", sentence)

    def recovered(self, sentence: str) -> None:
        """Report that the operation succeeded; `sentence` is logged if a failure was logged since the last recovery."""
        if self._open:
            self._open = False
            self._logger.warning("%s", sentence)

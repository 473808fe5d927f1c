"""Log lines of an outage, bounded in number: for whatever tries again in a loop.

The first failure is told; from then on at most one line in a minute, with the number of failures since the last line;
and one line at the recovery of a failure that was told.
"""

import logging
import time
from collections.abc import Callable

_EVERY_S = 60.0


class OutageLog:
    """Tells of one kind of outage through `logger`. All calls come from one thread."""

    def __init__(
        self, logger: logging.Logger, every_s: float = _EVERY_S, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._clock_s = clock_s
        self._told_s: float | None = None
        self._untold = 0
        self._open = False

    def failed(self, sentence: str, level: int = logging.WARNING) -> None:
        """It failed, once more or for the first time."""
        now_s = self._clock_s()
        if self._told_s is not None and now_s - self._told_s < self._every_s:
            self._untold += 1
            return
        if self._untold:
            sentence = f"{sentence} ({self._untold} more failures since the last line about it)"
        self._told_s, self._untold, self._open = now_s, 0, True
        self._logger.log(level, "%s", sentence)

    def recovered(self, sentence: str) -> None:
        """It works; a line only where a failure was told since the last recovery."""
        if self._open:
            self._open = False
            self._logger.warning("%s", sentence)

"""Whether anybody processes requests: told by requests that stay unanswered, and by the processors' signs of life.

A processor that died is missed on an idle system too, by its signs of life; one that lives and answers nothing is found
by its silence. A reply can also be lost for good (its topic was made again), so the silence is forgotten when no
request was sent for a while: a proxy that took this ingress out because it is not ready sends none that could end it.
Plain counters; the time is an argument, in seconds of any steady clock.
"""

from collections.abc import Callable
from typing import Literal

_MOST_PATIENCE_S = 2.0
_PATIENCE_OF_DEADLINE = 2 / 3
_TRY_EVERY_S = 1.0
_FORGOTTEN_AFTER_S = 30.0
"""Without a request."""

Absence = Literal["no processor is running", "requests stay unanswered"]


class Attendance:
    """One event loop owns it.

    Args:
        deadline_s: what a call has from its arrival to its answer, in seconds.
        served: what the processors' signs of life tell now, see `broker.port.Watch.served`.
    """

    def __init__(self, deadline_s: float, served: Callable[[], bool | None]) -> None:
        self._patience_s = min(_MOST_PATIENCE_S, deadline_s * _PATIENCE_OF_DEADLINE)
        self._served = served
        self._was_served = True
        self._unanswered_since_s: float | None = None
        self._sent_s: float | None = None

    def sent(self, now_s: float) -> None:
        """A request stands in the log."""
        self._sent_s = now_s
        if self._unanswered_since_s is None:
            self._unanswered_since_s = now_s

    def answered(self, now_s: float, waiting: int) -> None:
        """A reply came, whether or not its call still waits; `waiting` requests in the log wait for theirs."""
        self._unanswered_since_s = now_s if waiting else None

    def absence(self, now_s: float) -> Absence | None:
        """Why nobody would answer a request now, or None."""
        served = self._served() is not False
        if served and not self._was_served:
            # A processor that has come back is given the time that the first request has.
            self._unanswered_since_s = None
        self._was_served = served
        if not served:
            return "no processor is running"
        if self._sent_s is not None and now_s - self._sent_s > _FORGOTTEN_AFTER_S:
            self._unanswered_since_s = None
        since_s = self._unanswered_since_s
        return "requests stay unanswered" if since_s is not None and now_s - since_s > self._patience_s else None

    def admits(self, now_s: float) -> bool:
        """Whether a call is to be let in. While requests stay unanswered one a second is: its reply ends that."""
        match self.absence(now_s):
            case None:
                return True
            case "no processor is running":
                return False
            case "requests stay unanswered":
                return self._sent_s is None or now_s - self._sent_s >= _TRY_EVERY_S

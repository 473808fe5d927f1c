"""Detects that no processor answers: by unanswered requests, and by the heartbeats of the processors.

The absence of heartbeats reveals a dead processor on an idle system too; unanswered requests reveal a processor that
runs but does not answer. A reply can also be lost for good, because its topic was deleted and created again. Therefore
unanswered requests are forgotten when no request was sent for a while: a proxy sends none to an ingress that is not
ready, so no new reply could end that state. Plain counters; the time is an argument, in seconds of any steady clock.
"""

from collections.abc import Callable
from typing import Literal

_MOST_PATIENCE_S = 2.0
_PATIENCE_OF_DEADLINE = 2 / 3
_TRY_EVERY_S = 1.0
_FORGOTTEN_AFTER_S = 30.0
"""Seconds without a request after which unanswered requests no longer count."""

Absence = Literal["no processor is running", "requests stay unanswered"]


class Attendance:
    """The unanswered requests of one ingress, and the presence of processors. Belongs to one event loop.

    Args:
        deadline_s: the seconds from the arrival of a call to its answer.
        served: returns whether a processor sends heartbeats now; None if unknown (`broker.port.Watch.served`).
    """

    def __init__(self, deadline_s: float, served: Callable[[], bool | None]) -> None:
        self._patience_s = min(_MOST_PATIENCE_S, deadline_s * _PATIENCE_OF_DEADLINE)
        self._served = served
        self._was_served = True
        self._unanswered_since_s: float | None = None
        self._sent_s: float | None = None

    def sent(self, now_s: float) -> None:
        """Record that a request was written to the log."""
        self._sent_s = now_s
        if self._unanswered_since_s is None:
            self._unanswered_since_s = now_s

    def answered(self, now_s: float, waiting: int) -> None:
        """Record that a reply has arrived, in time or late; `waiting` requests in the log have no reply yet."""
        self._unanswered_since_s = now_s if waiting else None

    def absence(self, now_s: float) -> Absence | None:
        """Return the reason why no processor would answer a request now; None where one would."""
        served = self._served() is not False
        if served and not self._was_served:
            # A processor that has returned gets as much time as for a first request.
            self._unanswered_since_s = None
        self._was_served = served
        if not served:
            return "no processor is running"
        if self._sent_s is not None and now_s - self._sent_s > _FORGOTTEN_AFTER_S:
            self._unanswered_since_s = None
        since_s = self._unanswered_since_s
        return "requests stay unanswered" if since_s is not None and now_s - since_s > self._patience_s else None

    def admits(self, now_s: float) -> bool:
        """Return whether a request may be sent.

        While requests stay unanswered, one request a second may be sent, because its reply would end that state.
        """
        match self.absence(now_s):
            case None:
                return True
            case "no processor is running":
                return False
            case "requests stay unanswered":
                return self._sent_s is None or now_s - self._sent_s >= _TRY_EVERY_S

"""The pace of the processors: how fast they answer, and how many requests in the log keep them busy.

Pure; all times are in seconds. Both values are estimated from the requests of this ingress alone, although other
ingresses may have requests in the log too.

The interval between two answers is measured as BBR measures a delivery rate: the time that a request spent in the log,
divided by the number of answers that arrived during that time. Where the request had to wait for its turn and other
calls still wait, the processors were saturated, and the interval is their capacity; otherwise an upper bound.

The limit on the requests in the log follows the time for which a request waited for a matching thread, divided by the
rest of its time in the log. At the ratio `_AIM` each thread has that many requests waiting behind the one that it works
on. Below that ratio the limit rises, because a thread may soon be idle; above it the limit falls, because requests that
wait in the log can neither take turns nor be refused. Like CoDel this needs no knowledge of the number of threads or
machines; unlike limits that compare a time with the shortest measured time (Vegas, Gradient) it needs no such minimum.
Only for replies of processors that do not report the waiting time the shortest measured time is used.
"""

from dataclasses import dataclass

_AIM = 2.0
_FIRST_LIMIT = 8.0
_GAIN = 0.25
"""The largest change of the limit for one answer, in requests; so for a round of answers a quarter of the limit."""
_CUT = 0.2
"""Share by which the limit falls for each request that was not answered in time."""
_INTERVAL_SMOOTHING = 1 / 8
_ANSWER_SMOOTHING = 1 / 8
_LEAST_RISES = 1 / 50
"""The shortest measured time rises by this share of its distance to the time of an answer for which no other request
was queued, so that one unusual answer does not count for ever."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent at the time `at`, after `answers` answers had arrived.

    `had_waited`: the call had to wait for its turn.
    """

    at: float
    answers: int
    had_waited: bool


class Pace:
    """The estimates about the processors, and the limit on requests in the log, a whole number from 1 to `most`."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._limit = min(_FIRST_LIMIT, float(self._most))
        self._answers = 0
        self._least_s: float | None = None
        self._is_reported = False
        self.interval_s = 0.0
        """The seconds between two answers while calls wait; 0 until answers have been measured."""
        self._answer_s = 0.0
        self._deviation_s = 0.0

    @property
    def answer_s(self) -> float:
        """The seconds from sending to the answer of nearly all requests; 0 until answers have been measured.

        It is the smoothed mean plus twice the smoothed mean deviation, as TCP estimates its timeout (RFC 6298).
        """
        return self._answer_s + 2 * self._deviation_s

    @property
    def limit(self) -> int:
        """The number of calls whose requests may be in the log at the same time."""
        return int(self._limit)

    def sent(self, now: float, *, had_waited: bool) -> Sent:
        """Record that a request is sent; `had_waited`: the call had to wait for its turn."""
        return Sent(now, self._answers, had_waited)

    def answered(self, sent: Sent, now: float, *, contended: bool, waited_s: float | None = None) -> None:
        """Record the answer to a request.

        `contended`: more calls wait than the limit admits. `waited_s`: the seconds for which the request waited for a
        matching thread; None where the processor does not report it.
        """
        self._answers += 1
        spent_s = max(now - sent.at, 1e-6)
        sample_s = spent_s / (self._answers - sent.answers)
        saturated = contended and sent.had_waited
        if saturated and not self.interval_s:
            self.interval_s = sample_s
        elif saturated or sample_s < self.interval_s:
            self.interval_s += _INTERVAL_SMOOTHING * (sample_s - self.interval_s)
        self._smooth_answer(spent_s)
        if waited_s is not None:
            self._is_reported = True
        elif not self._is_reported:
            waited_s = self._guess(spent_s, contended)
        # Where the processors report waiting times, a request without one used no matching thread.
        if contended and waited_s is not None:
            error = (_AIM - waited_s / max(spent_s - waited_s, 1e-6)) / _AIM
            self._set_limit(self._limit + _GAIN * max(-1.0, min(1.0, error)))

    def unanswered(self, sent: Sent, now: float) -> None:
        """Record that a request was not answered within the deadline."""
        self._smooth_answer(now - sent.at)
        self._set_limit(self._limit * (1 - _CUT))

    def _smooth_answer(self, spent_s: float) -> None:
        if not self._answer_s:
            self._answer_s = spent_s
            return
        error = spent_s - self._answer_s
        self._answer_s += _ANSWER_SMOOTHING * error
        self._deviation_s += _ANSWER_SMOOTHING * (abs(error) - self._deviation_s)

    def _guess(self, spent_s: float, contended: bool) -> float:
        least_s = spent_s if self._least_s is None else self._least_s
        if not contended or self.limit == 1:
            least_s += _LEAST_RISES * (spent_s - least_s)
        self._least_s = min(spent_s, least_s)
        return spent_s - self._least_s

    def _set_limit(self, limit: float) -> None:
        self._limit = max(1.0, min(float(self._most), limit))

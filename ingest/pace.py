"""How fast the processors answer, and how many requests they need at a time to stay busy. Pure; times are seconds.

Both are learnt from the requests that this ingress has in the log, whoever else has some there too.

The interval between two answers is a delivery rate as BBR measures it: the time that a request spent in the log, over
the number of answers that came meanwhile. Of a request that had to wait for its turn, while others wait still, that is
what the processors can do; any other only says that they can do at least so much.

The limit on requests in the log follows how long a request waited for a matching thread, in units of the time that it
took otherwise: at `_AIM` each thread has so many waiting behind the one it works on. Less, and the limit rises, because
a thread may soon have nothing to do; more, and it falls, because what waits in the log cannot be taken in turns, nor
refused. Like CoDel it needs no knowledge of the number of threads or machines; unlike limits that compare a time with
the least one seen (Vegas, Gradient) it needs no least one. Only replies of a processor that does not tell its times
are judged by the least one seen.
"""

from dataclasses import dataclass

_AIM = 2.0
_FIRST_LIMIT = 8.0
_GAIN = 0.25
"""Of the limit, for each round of requests: a quarter up or down at most."""
_CUT = 0.2
"""Of the limit, for each request that was not answered in time."""
_INTERVAL_SMOOTHING = 1 / 8
_ANSWER_SMOOTHING = 1 / 8
_LEAST_RISES = 1 / 50
"""By how much of its distance to what is measured the least time rises with an answer that nothing was ahead of, so
that it is not for ever."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that went into the log at `at`, when `answers` answers had come. `had_waited`: for its turn."""

    at: float
    answers: int
    had_waited: bool


class Pace:
    """The estimates, and the limit, a whole number from 1 to `most`."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._limit = min(_FIRST_LIMIT, float(self._most))
        self._answers = 0
        self._least_s: float | None = None
        self._is_told = False
        self.interval_s = 0.0
        """Between two answers while work waits; 0 as long as nothing is known."""
        self._answer_s = 0.0
        self._deviation_s = 0.0

    @property
    def answer_s(self) -> float:
        """From the log to the answer, of nearly all requests: the mean and twice the mean deviation, both smoothed (as
        TCP estimates how long to wait, RFC 6298); 0 as long as nothing is known."""
        return self._answer_s + 2 * self._deviation_s

    @property
    def limit(self) -> int:
        """How many requests may be in the log at a time."""
        return int(self._limit)

    def sent(self, now: float, *, had_waited: bool) -> Sent:
        """A request goes into the log, after it had to wait for its turn or at once."""
        return Sent(now, self._answers, had_waited)

    def answered(self, sent: Sent, now: float, *, contended: bool, waited_s: float | None = None) -> None:
        """Its answer came. `contended`: more work waits than the limit lets in. `waited_s`: how long it waited for a
        matching thread, where the processor tells it."""
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
            self._is_told = True
        elif not self._is_told:
            waited_s = self._guess(spent_s, contended)
        # Where others are told and this one is not, it took no matching thread.
        if contended and waited_s is not None:
            error = (_AIM - waited_s / max(spent_s - waited_s, 1e-6)) / _AIM
            self._set_limit(self._limit + _GAIN * max(-1.0, min(1.0, error)))

    def unanswered(self, sent: Sent, now: float) -> None:
        """No answer came within the deadline."""
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

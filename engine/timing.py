"""How long each step of a decision took; the clock is the caller's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Seconds from any fixed moment, never going back."""


@dataclass(slots=True)
class StageTimer:
    """Collects milliseconds per named stage; a stage timed twice adds up.

    Each millisecond counts once: what a stage inside another takes is its own alone.
    """

    clock: Clock
    timings_ms: dict[str, float] = field(default_factory=dict)
    _inner_s: float = field(default=0.0, init=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, errors included."""
        before_s, self._inner_s = self._inner_s, 0.0
        began_s = self.clock()
        try:
            yield
        finally:
            whole_s = self.clock() - began_s
            own_ms = (whole_s - self._inner_s) * 1000.0
            self.timings_ms[name] = round(self.timings_ms.get(name, 0.0) + own_ms, 3)
            self._inner_s = before_s + whole_s

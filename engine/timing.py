"""Measures how long each stage of a decision takes, with a clock that the caller provides."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""A function that returns the seconds since any fixed moment and never goes back."""


@dataclass(slots=True)
class StageTimer:
    """Collects milliseconds per named stage; the times of a stage that is run several times are added.

    Each millisecond counts once: the time of a stage inside another stage counts for the inner stage only.
    """

    clock: Clock
    timings_ms: dict[str, float] = field(default_factory=dict)
    _inner_s: float = field(default=0.0, init=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block inside the `with` statement, also where it raises an error."""
        before_s, self._inner_s = self._inner_s, 0.0
        began_s = self.clock()
        try:
            yield
        finally:
            whole_s = self.clock() - began_s
            own_ms = (whole_s - self._inner_s) * 1000.0
            self.timings_ms[name] = round(self.timings_ms.get(name, 0.0) + own_ms, 3)
            self._inner_s = before_s + whole_s

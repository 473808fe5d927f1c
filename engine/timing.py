"""How long each step of a decision took; the clock is the caller's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Seconds from any fixed moment, never going back."""


@dataclass(slots=True)
class StageTimer:
    """Collects milliseconds per named stage; a stage timed twice adds up."""

    clock: Clock
    timings_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, errors included."""
        began = self.clock()
        try:
            yield
        finally:
            spent = (self.clock() - began) * 1000.0
            self.timings_ms[name] = round(self.timings_ms.get(name, 0.0) + spent, 3)

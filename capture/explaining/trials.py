"""Single changes of a decision that is no match, and those that lead to another outcome. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from capture.explaining.values import Flip


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A single change that may lead to another outcome.

    `outcome`: decides again with the change and returns the outcome; None: that is not possible. The other attributes
    are those of `capture.explaining.values.Flip`.
    """

    change: str
    outcome: Callable[[], str | None]
    setting: str | None = None
    value: float | str | None = None


Trials = Iterable[Sequence[Trial]]
"""Of each sequence only the first trial counts that leads to another outcome: the smallest change comes first."""


def flips_of(trials: Trials, before: str) -> tuple[Flip, ...]:
    """Return the changes that lead to another outcome than `before`. Each is decided."""
    return tuple(flip for alternatives in trials if (flip := _first(alternatives, before)) is not None)


def _first(alternatives: Sequence[Trial], before: str) -> Flip | None:
    for trial in alternatives:
        outcome = trial.outcome()
        if outcome not in (None, before):
            return Flip(trial.change, str(outcome), setting=trial.setting, value=trial.value)
    return None

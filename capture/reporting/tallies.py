"""Counts the errors of recognition at the thresholds in force: of one system, and of a part of the rows. Pure."""

from bisect import insort
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, Self, TypeVar

from capture.reporting.values import Counts, Part, Rate, Rates, Status
from capture.reporting.views import View
from contract.captures.values import CapturedDecision
from engine.calls.matching import CANDIDATES
from engine.evaluation.scores import wilson


def rate_of(errors: int, trials: int) -> Rate:
    """Return a rate with its 95 % confidence interval."""
    if not trials:
        return Rate(errors=0, trials=0, rate=None, low=None, high=None)
    low, high = wilson(errors, trials)
    return Rate(errors=errors, trials=trials, rate=errors / trials, low=low, high=high)


def is_enrolled(expected: str, decision: CapturedDecision, listed: bool | None) -> bool:
    """Return whether the expected person counts as enrolled in the scope of a decision.

    A person among the candidates is; a person who is missing in a shorter list than a search can return is not.
    Otherwise `listed` counts: whether the person has a face among the people that were searched, in whatever group;
    None where that is not known.
    """
    if not expected:
        return False
    candidates = decision.candidates
    if decision.identity_id == expected or any(candidate.identity_id == expected for candidate in candidates):
        return True
    if decision.outcome == "empty_group" or 0 < len(candidates) < CANDIDATES:
        return False
    return listed is not False


class SideTally:
    """The errors of one system, then or now."""

    __slots__ = (
        "enrolled_presented",
        "enrolled_searches",
        "misses",
        "not_acquired",
        "others",
        "positives",
        "presented",
        "refused",
        "stranger_searches",
    )

    def __init__(self) -> None:
        self.presented = self.not_acquired = 0
        self.enrolled_presented = self.enrolled_searches = self.misses = self.refused = self.others = 0
        self.stranger_searches = self.positives = 0

    def add(self, view: View, expected: str | None, enrolled: bool) -> None:
        """Count one decision. `expected` None: nobody knows who is in the picture."""
        if not view.presented:
            return
        self.presented += 1
        if not view.acquired:
            self.not_acquired += 1
        if expected is None:
            return
        if enrolled:
            self.enrolled_presented += 1
            if not view.searched:
                self.refused += 1
                return
            self.enrolled_searches += 1
            if view.recognised != expected:
                self.misses += 1
                self.others += view.recognised is not None
        elif view.searched:
            self.stranger_searches += 1
            self.positives += view.recognised is not None

    def merge(self, other: Self) -> None:
        """Add what `other` has counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def rates(self) -> Rates:
        """Return the error rates."""
        return Rates(
            failure_to_acquire=rate_of(self.not_acquired, self.presented),
            fnir=rate_of(self.misses, self.enrolled_searches),
            fnir_with_refusals=rate_of(self.misses + self.refused, self.enrolled_presented),
            fpir=rate_of(self.positives, self.stranger_searches),
            another_person=rate_of(self.others, self.enrolled_searches),
        )


class PartTally:
    """The results and errors of a part of the rows."""

    __slots__ = ("counts", "now", "then")

    def __init__(self) -> None:
        self.counts: dict[Status, int] = {"same": 0, "different": 0, "not_compared": 0, "could_not_run": 0}
        self.then, self.now = SideTally(), SideTally()

    def add_same(self, count: int, *, presented: bool, acquired: bool) -> None:
        """Count decisions that are the same then and now, of which nobody knows who is in the picture."""
        self.counts["same"] += count
        if presented:
            for side in (self.then, self.now):
                side.presented += count
                side.not_acquired += 0 if acquired else count

    def merge(self, other: Self) -> None:
        """Add what `other` has counted."""
        for status, count in other.counts.items():
            self.counts[status] += count
        self.then.merge(other.then)
        self.now.merge(other.now)

    def part(self, name: str) -> Part:
        """Return the figures of the part."""
        return Part(
            name=name,
            counts=Counts(**self.counts),
            then=self.then.rates(),
            now=self.now.rates(),
        )


class OutcomeTally:
    """The decisions with one outcome, then and now, and the rows with that outcome of then that were not compared."""

    __slots__ = ("not_compared", "now", "then")

    def __init__(self) -> None:
        self.then = self.now = self.not_compared = 0

    def merge(self, other: Self) -> None:
        """Add what `other` has counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Tally(Protocol):
    """Something counted."""

    def merge(self, other: Any, /) -> None:
        """Add what `other` has counted."""


T = TypeVar("T", bound=Tally)
OTHERS = "(all others)"


class Named(Generic[T]):
    """Tallies by name. Of more than `most` names, those that come first in the order of the names have one each, and
    one tally counts all others: so what is counted does not depend on the order in which rows are added or sums merged.

    `new`: makes a tally. `most` None: every name has its own. `always`: names that have their own besides.
    """

    def __init__(self, new: Callable[[], T], most: int | None, always: frozenset[str] = frozenset()) -> None:
        self._new, self._most, self._always = new, most, always
        self._tallies: dict[str, T] = {}
        self._ordered: list[str] = []
        self._others: T | None = None

    def __getitem__(self, name: str) -> T:
        found = self._tallies.get(name)
        return self._of_new(name) if found is None else found

    def _of_new(self, name: str) -> T:
        if self._most is not None and name not in self._always:
            if len(self._ordered) >= self._most:
                if name > self._ordered[-1]:
                    return self._rest()
                self._rest().merge(self._tallies.pop(self._ordered.pop()))
            insort(self._ordered, name)
        return self._tallies.setdefault(name, self._new())

    def _rest(self) -> T:
        if self._others is None:
            self._others = self._new()
        return self._others

    def merge(self, other: Self) -> None:
        """Add what `other` has counted."""
        for name, tally in other._tallies.items():
            self[name].merge(tally)
        if other._others is not None:
            self._rest().merge(other._others)

    def items(self, order: Callable[[T], int]) -> Iterator[tuple[str, T]]:
        """Yield the names and their tallies, the highest `order` first, and behind them `OTHERS`."""
        yield from sorted(self._tallies.items(), key=lambda item: (-order(item[1]), item[0]))
        if self._others is not None:
            yield OTHERS, self._others

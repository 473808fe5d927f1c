"""Adds up what a report counts of every row. Sums of parts of the rows can be merged. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar, get_args

from capture.reporting.latency import Times
from capture.reporting.scores import SideScores
from capture.reporting.tallies import Parts, PartTally, SideTally, is_enrolled, rate_of
from capture.reporting.truth import Badge
from capture.reporting.values import Latency, OutcomeCount, Paired, PairedOf, Rate, Status, TimesOf
from capture.reporting.views import View, status_of, view_of
from capture.rows import Row, Tier
from contract.captures.values import CapturedDecision
from engine.evaluation.paired import mcnemar

MOST_DEVICES = 2000
MOST_GROUPS = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """What a report knows about the people in the pictures, besides the rows.

    Attributes:
        passages: who passed, by the line's number, from a badge log; it comes before a row's own expectation.
        enrolled: the people of `passages` who are among the people of then; None: the people of then are not known.
        enrolled_now: the same of the people that are searched now.
    """

    passages: Mapping[int, Badge]
    enrolled: frozenset[str] | None = None
    enrolled_now: frozenset[str] | None = None

    def expectation(self, row: Row) -> tuple[str | None, str | None]:
        """Return the identity that is known to be in the picture of a row, and its group."""
        badge = self.passages.get(row.number)
        return (row.expected, None) if badge is None else (badge.identity_id, badge.group)


NOTHING_KNOWN = Known({})


class _Changes:
    """Errors of both systems on the same rows."""

    __slots__ = ("came", "now", "then", "trials", "went")

    def __init__(self) -> None:
        self.trials = self.then = self.now = self.came = self.went = 0

    def add(self, wrong_then: bool, wrong_now: bool) -> None:
        self.trials += 1
        self.then += wrong_then
        self.now += wrong_now
        self.came += wrong_now and not wrong_then
        self.went += wrong_then and not wrong_now

    def merge(self, other: Self) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def figures(self, of: PairedOf) -> Paired | None:
        """Return McNemar's test; None where there was no trial."""
        if not self.trials:
            return None
        return Paired(
            of=of,
            trials=self.trials,
            errors_then=self.then,
            errors_now=self.now,
            came=self.came,
            went=self.went,
            p_value=mcnemar(self.came, self.went),
        )


class _Counted(NamedTuple):
    """One decision as it was counted; `enrolled`: whether the expected person is."""

    view: View
    enrolled: bool

    def is_wrong(self, expected: str) -> bool:
        """Return whether the decision is an error: an enrolled person was not recognised, or anybody else was."""
        return self.view.recognised != (expected if self.enrolled else None)


class Side:
    """The outcomes and scores of one system, then or now."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.scores = SideScores()

    def add(
        self,
        decision: CapturedDecision | None,
        expected: str | None,
        enrolled_people: frozenset[str] | None,
        tallies: Sequence[SideTally],
    ) -> _Counted | None:
        """Count one decision, also in the tallies of the parts that it belongs to."""
        if decision is None:
            return None
        enrolled = False
        if expected:
            listed = None if enrolled_people is None else expected in enrolled_people
            enrolled = is_enrolled(expected, decision, listed)
        counted = _Counted(view_of(decision), enrolled)
        self.count(counted, expected, tallies)
        return counted

    def count(self, counted: _Counted, expected: str | None, tallies: Sequence[SideTally]) -> None:
        """Count a decision that the other side has counted, too."""
        view, enrolled = counted
        self.outcomes[view.decision.outcome] += 1
        for tally in tallies:
            tally.add(view, expected, enrolled)
        self.scores.add(view, expected, enrolled)

    def merge(self, other: Self) -> None:
        """Add what `other` has counted."""
        self.outcomes.update(other.outcomes)
        self.scores.merge(other.scores)


class Sums:
    """Everything that is counted of rows; the memory grows with the people, but not with the rows.

    `most_devices`, `most_groups`: of how many devices and groups the rows are counted apart; None: of all.
    """

    def __init__(self, most_devices: int | None = MOST_DEVICES, most_groups: int | None = MOST_GROUPS) -> None:
        self.whole = PartTally()
        self.tiers: dict[Tier, PartTally] = {tier: PartTally() for tier in get_args(Tier)}
        self.not_compared: Counter[str] = Counter()
        self.devices, self.groups = Parts(most_devices), Parts(most_groups)
        self.then, self.now = Side(), Side()
        self._changes: dict[PairedOf, _Changes] = {of: _Changes() for of in get_args(PairedOf)}
        self._times: dict[TimesOf, Times] = {of: Times() for of in get_args(TimesOf)}
        self._expected: dict[str, bool] = {}

    def add(self, row: Row, known: Known) -> Status:
        """Count a row, and return its result."""
        status = status_of(row)
        expected, group = known.expectation(row)
        whole, device = self.whole, self.devices[row.line.request.device_ip or ""]
        parts = (whole, device) if group is None else (whole, device, self.groups[group])
        for part in parts:
            part.counts[status] += 1
        if row.tier is not None:
            self.tiers[row.tier].counts[status] += 1
        self._add_decisions(row, expected, known, parts)
        self._add_times(row)
        if status == "not_compared":
            then = row.line.decision
            self.not_compared["undecided" if then is None else then.outcome] += 1
        return status

    def merge(self, other: Self) -> None:
        """Add what `other` has counted of further rows."""
        self.whole.merge(other.whole)
        for tier, tally in other.tiers.items():
            self.tiers[tier].merge(tally)
        self.not_compared.update(other.not_compared)
        self.devices.merge(other.devices)
        self.groups.merge(other.groups)
        self.then.merge(other.then)
        self.now.merge(other.now)
        for of, changes in other._changes.items():
            self._changes[of].merge(changes)
        for times_of, times in other._times.items():
            self._times[times_of].merge(times)
        for expected, enrolled in other._expected.items():
            self._expected[expected] = self._expected.get(expected, False) or enrolled

    def outcomes(self) -> tuple[OutcomeCount, ...]:
        """Return how many decisions have each outcome, the most frequent of then first."""
        then, now = self.then.outcomes, self.now.outcomes
        return tuple(
            OutcomeCount(outcome=name, then=then[name], now=now[name])
            for name in sorted({*then, *now}, key=lambda name: (-then[name], name))
        )

    def failure_to_enrol(self) -> Rate:
        """Return the share of expected people who are not enrolled."""
        return rate_of(sum(not enrolled for enrolled in self._expected.values()), len(self._expected))

    def paired(self) -> tuple[Paired, ...]:
        """Return the paired figures of which there was a trial."""
        return _present(changes.figures(of) for of, changes in self._changes.items())

    def latency(self) -> tuple[Latency, ...]:
        """Return the percentiles of the times that were counted."""
        return _present(times.figures(of) for of, times in self._times.items())

    def _add_decisions(self, row: Row, expected: str | None, known: Known, parts: Sequence[PartTally]) -> None:
        # The sets contain people of the badge log only.
        before, after = (known.enrolled, known.enrolled_now) if row.number in known.passages else (None, None)
        then = self.then.add(row.line.decision, expected, before, [part.then for part in parts])
        now, tallies = then, [part.now for part in parts]
        if then is not None and row.now is row.line.decision and before is after:
            self.now.count(then, expected, tallies)
        else:
            now = self.now.add(row.now, expected, after, tallies)
        if expected is None:
            return
        enrolled = any(side is not None and side.enrolled for side in (then, now))
        if expected:
            self._expected[expected] = self._expected.get(expected, False) or enrolled
        if then is not None and now is not None and then.view.presented and now.view.presented:
            wrong = then.is_wrong(expected), now.is_wrong(expected)
            self._changes["everybody"].add(*wrong)
            self._changes["enrolled" if enrolled else "strangers"].add(*wrong)

    def _add_times(self, row: Row) -> None:
        then, now, received = row.line.decision, row.now, row.line.received_time
        if then is not None:
            if then.decided_time is not None and received is not None:
                self._times["recorded"].add((then.decided_time - received) * 1000)
            if then.timings_ms:
                self._times["recorded_engine"].add(sum(then.timings_ms.values()))
        if row.tier == "look" and now is not None and now.timings_ms:
            self._times["replayed_engine"].add(sum(now.timings_ms.values()))
        if row.latency_ms is not None:
            self._times["server"].add(row.latency_ms)


@dataclass(frozen=True, slots=True)
class SummingUp:
    """Adds rows up (capture.rows.Summing)."""

    known: Known

    def __call__(self, rows: Iterable[Row]) -> Sums:
        """Return the sums of the rows."""
        # Which names are counted apart is decided where the sums are merged.
        sums = Sums(None, None)
        for row in rows:
            sums.add(row, self.known)
        return sums


def _present(figures: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(figure for figure in figures if figure is not None)

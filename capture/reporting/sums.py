"""Adds up what a report counts of every row. Sums of parts of the rows can be merged. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar, get_args

from capture.reporting.latency import Times
from capture.reporting.people import Enrolled
from capture.reporting.scores import SideScores
from capture.reporting.tallies import Named, OutcomeTally, PartTally, SideTally, is_enrolled, rate_of
from capture.reporting.truth import Badge
from capture.reporting.values import (
    Latency,
    OutcomeCount,
    Paired,
    PairedOf,
    Part,
    Rate,
    Status,
    ThenAndNow,
    TimesOf,
)
from capture.reporting.views import View, status_of, view_of
from capture.rows import Row, Tier
from contract.captures.values import CapturedDecision
from contract.kinds import MATCH_OUTCOMES
from engine.evaluation.paired import mcnemar
from engine.policy import ScoreScale

MOST_DEVICES = 2000
MOST_GROUPS = 200
MOST_OUTCOMES = 100
"""The most outcomes that this program does not know and that are counted apart."""

_KNOWN_OUTCOMES = frozenset(MATCH_OUTCOMES)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """What a report knows about the people in the pictures, besides the rows.

    Attributes:
        passages: who passed, by the line's number, from a badge log; it comes before a row's own expectation.
        enrolled: who is enrolled among the people of then; None: the people of then are not known.
        enrolled_now: the same of the people that are searched now.
    """

    passages: Mapping[int, Badge]
    enrolled: Enrolled | None = None
    enrolled_now: Enrolled | None = None

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


_NOBODY_KNOWS = (None, None)
"""The expectation of a row of which nobody knows who is in the picture."""


class _SameKey(NamedTuple):
    """What is counted of a row in which nothing differs, besides scores and times."""

    device: str
    tier: Tier | None
    outcome: str
    presented: bool
    acquired: bool


def _is_plain(row: Row) -> bool:
    """Return whether there is nothing to remark about a row, and its score has the scale of the recorded one."""
    return row.remark is None and row.scale is None


class Side:
    """The scores of one system, then or now, and for each expected person whether any decision had them enrolled."""

    def __init__(self) -> None:
        self.scores = SideScores()
        self._expected: dict[str, bool] = {}

    def add(
        self,
        decision: CapturedDecision,
        expected: str | None,
        listed: bool | None,
        tallies: Sequence[SideTally],
        answered_on: ScoreScale | None = None,
        view: View | None = None,
    ) -> _Counted:
        """Count one decision, also in the tallies of the parts that it belongs to.

        `listed`: whether the expected person is among the people that it searched; None: that is not known.
        `view`: the view of the decision, where it is known already.
        """
        view, enrolled = view or view_of(decision, answered_on), False
        if expected and view.presented:
            enrolled = is_enrolled(expected, decision, listed)
            self._expected[expected] = self._expected.get(expected, False) or enrolled
        for tally in tallies:
            tally.add(view, expected, enrolled)
        self.scores.add(view, expected, enrolled)
        return _Counted(view, enrolled)

    def merge(self, other: Self) -> None:
        """Add what `other` has counted."""
        self.scores.merge(other.scores)
        for expected, enrolled in other._expected.items():
            self._expected[expected] = self._expected.get(expected, False) or enrolled

    def failure_to_enrol(self) -> Rate:
        """Return the share of expected people whom no decision had enrolled."""
        return rate_of(sum(not enrolled for enrolled in self._expected.values()), len(self._expected))


class Sums:
    """Everything that is counted of rows; the memory grows with the people, but not with the rows.

    `bounded`: whether of very many devices, groups and outcomes only some are counted apart (tallies.Named).
    """

    def __init__(self, *, bounded: bool = True) -> None:
        self.whole = PartTally()
        self.tiers: dict[Tier, PartTally] = {tier: PartTally() for tier in get_args(Tier)}
        self.undecided = 0
        self.remarks: Counter[str] = Counter()
        self._outcomes = Named(OutcomeTally, MOST_OUTCOMES if bounded else None, _KNOWN_OUTCOMES)
        self._devices = Named(PartTally, MOST_DEVICES if bounded else None)
        self._groups = Named(PartTally, MOST_GROUPS if bounded else None)
        self.then, self.now = Side(), Side()
        self._changes: dict[PairedOf, _Changes] = {of: _Changes() for of in get_args(PairedOf)}
        self._times: dict[TimesOf, Times] = {of: Times() for of in get_args(TimesOf)}

    def add(self, row: Row, known: Known) -> Status:
        """Count a row, and return its result."""
        status = status_of(row)
        expected, group = known.expectation(row)
        whole, device = self.whole, self._devices[row.line.request.device_ip or ""]
        parts = (whole, device) if group is None else (whole, device, self._groups[group])
        for part in parts:
            part.counts[status] += 1
        if row.tier is not None:
            self.tiers[row.tier].counts[status] += 1
        self._add_decisions(row, expected, known, parts)
        self._add_times(row)
        if row.remark is not None:
            self.remarks[row.remark] += 1
        self._add_outcomes(row, status)
        return status

    def add_same(self, rows: Iterable[Row], known: Known) -> None:
        """Count rows in which nothing differs; those of which nobody knows who is in the picture, together."""
        counts, scores = Counter[_SameKey](), SideScores()
        for row in rows:
            decision = row.now
            alike = decision is not None and decision is row.line.decision and row.differences == () and not row.trouble
            if decision is None or not alike or known.expectation(row) != _NOBODY_KNOWS or not _is_plain(row):
                self.add(row, known)
                continue
            view = view_of(decision)
            scores.add(view, None, enrolled=False)
            self._add_times(row)
            device = row.line.request.device_ip or ""
            counts[_SameKey(device, row.tier, decision.outcome, view.presented, view.acquired)] += 1
        for key, count in counts.items():
            for part in (self.whole, self._devices[key.device]):
                part.add_same(count, presented=key.presented, acquired=key.acquired)
            if key.tier is not None:
                self.tiers[key.tier].counts["same"] += count
            outcome = self._outcomes[key.outcome]
            outcome.then += count
            outcome.now += count
        self.then.scores.merge(scores)
        self.now.scores.merge(scores)

    def merge(self, other: Self) -> None:
        """Add what `other` has counted of further rows."""
        self.whole.merge(other.whole)
        for tier, tally in other.tiers.items():
            self.tiers[tier].merge(tally)
        self.undecided += other.undecided
        self.remarks.update(other.remarks)
        self._outcomes.merge(other._outcomes)
        self._devices.merge(other._devices)
        self._groups.merge(other._groups)
        self.then.merge(other.then)
        self.now.merge(other.now)
        for of, changes in other._changes.items():
            self._changes[of].merge(changes)
        for times_of, times in other._times.items():
            self._times[times_of].merge(times)

    def outcomes(self) -> tuple[OutcomeCount, ...]:
        """Return how many decisions have each outcome, the most frequent of then first."""
        named = self._outcomes.items(lambda tally: tally.then)
        return tuple(OutcomeCount(outcome=name, then=tally.then, now=tally.now) for name, tally in named)

    def not_compared_because(self) -> dict[str, int]:
        """Return the outcomes of then of the rows that were not compared, by name, and the number of rows."""
        named = self._outcomes.items(lambda tally: 0)
        counts = {name: tally.not_compared for name, tally in named if tally.not_compared}
        return counts | ({"undecided": self.undecided} if self.undecided else {})

    def devices(self) -> tuple[Part, ...]:
        """Return the figures of devices, those with the most differing rows first."""
        return _parts(self._devices)

    def groups(self) -> tuple[Part, ...]:
        """Return the figures of groups of people, those with the most differing rows first."""
        return _parts(self._groups)

    def failure_to_enrol(self) -> ThenAndNow:
        """Return the share of expected people who are not enrolled."""
        return ThenAndNow(then=self.then.failure_to_enrol(), now=self.now.failure_to_enrol())

    def paired(self) -> tuple[Paired, ...]:
        """Return the paired figures of which there was a trial."""
        return _present(changes.figures(of) for of, changes in self._changes.items())

    def latency(self) -> tuple[Latency, ...]:
        """Return the percentiles of the times that were counted."""
        return _present(times.figures(of) for of, times in self._times.items())

    def _add_decisions(self, row: Row, expected: str | None, known: Known, parts: Sequence[PartTally]) -> None:
        then = now = version = None
        if (before := row.line.decision) is not None:
            listed = _listed(known.enrolled, expected, before.gallery_version)
            then = self.then.add(before, expected, listed, [part.then for part in parts])
            version = before.gallery_version if then.view.presented else None
        if row.now is not None:
            # A server does not say which people it searched; those of the same time are the best that is known.
            listed = _listed(known.enrolled_now, expected, version if row.tier == "url" else row.now.gallery_version)
            same = then.view if then is not None and row.now is before and row.scale is None else None
            now = self.now.add(row.now, expected, listed, [part.now for part in parts], row.scale, same)
        if expected is None or then is None or now is None:
            return
        if then.view.presented and now.view.presented:
            wrong = then.is_wrong(expected), now.is_wrong(expected)
            self._changes["everybody"].add(*wrong)
            self._changes["enrolled" if then.enrolled or now.enrolled else "strangers"].add(*wrong)

    def _add_outcomes(self, row: Row, status: Status) -> None:
        then, now = row.line.decision, row.now
        if then is not None:
            tally = self._outcomes[then.outcome]
            tally.then += 1
            tally.not_compared += status == "not_compared"
        elif status == "not_compared":
            self.undecided += 1
        if now is not None:
            self._outcomes[now.outcome].now += 1

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
        sums = Sums(bounded=False)
        sums.add_same(rows, self.known)
        return sums


def _listed(people: Enrolled | None, expected: str | None, version: int | None) -> bool | None:
    return people.has(expected, version) if expected and people is not None else None


def _parts(named: Named[PartTally]) -> tuple[Part, ...]:
    return tuple(tally.part(name) for name, tally in named.items(lambda tally: tally.counts["different"]))


def _present(figures: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(figure for figure in figures if figure is not None)

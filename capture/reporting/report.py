"""Adds the rows of a replay up to a report, whose memory grows with the people and devices but not with the rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar, get_args

from capture.reporting.kinds import KINDS, FailOn, Kind
from capture.reporting.latency import Times
from capture.reporting.scores import SideScores
from capture.reporting.tallies import Parts, PartTally, SideTally, is_enrolled, rate_of
from capture.reporting.truth import Truth
from capture.reporting.values import Findings, OutcomeCount, Paired, PairedOf, ReportedRow, TimesOf
from capture.reporting.views import View, reported, status_of, view_of
from capture.rows import Row, Tier
from contract.captures.values import CapturedDecision
from engine.evaluation.paired import mcnemar

MOST_SHOWN = 500
"""The most differing rows that a report keeps; of more, the gravest kinds' first ones are kept."""
MOST_TROUBLES = 100
MOST_DEVICES = 2000
MOST_GROUPS = 200

T = TypeVar("T")


class _Changes:
    """Errors of both systems on the same rows."""

    def __init__(self) -> None:
        self._trials = self._then = self._now = self._came = self._went = 0

    def add(self, wrong_then: bool, wrong_now: bool) -> None:
        self._trials += 1
        self._then += wrong_then
        self._now += wrong_now
        self._came += wrong_now and not wrong_then
        self._went += wrong_then and not wrong_now

    def figures(self, of: PairedOf) -> Paired | None:
        """Return McNemar's test; None where there was no trial."""
        if not self._trials:
            return None
        return Paired(
            of=of,
            trials=self._trials,
            errors_then=self._then,
            errors_now=self._now,
            came=self._came,
            went=self._went,
            p_value=mcnemar(self._came, self._went),
        )


class _Counted(NamedTuple):
    """One decision as it was counted; `enrolled`: whether the expected person is."""

    view: View
    enrolled: bool

    def is_wrong(self, expected: str) -> bool:
        """Return whether the decision is an error: an enrolled person was not recognised, or anybody else was."""
        return self.view.recognised != (expected if self.enrolled else None)


class _Side:
    """The outcomes and scores of one system, then or now."""

    def __init__(self, is_listed: Callable[[str], bool] | None) -> None:
        self._is_listed = is_listed
        self.outcomes: Counter[str] = Counter()
        self.scores = SideScores()

    def add(self, decision: CapturedDecision | None, expected: str | None, tallies: list[SideTally]) -> _Counted | None:
        """Count one decision, also in the tallies of the parts that it belongs to."""
        if decision is None:
            return None
        self.outcomes[decision.outcome] += 1
        view, enrolled = view_of(decision), False
        if expected:
            listed = None if self._is_listed is None else self._is_listed(expected)
            enrolled = is_enrolled(expected, decision, listed)
        for tally in tallies:
            tally.add(view, expected, enrolled)
        self.scores.add(view, expected, enrolled)
        return _Counted(view, enrolled)


class Report:
    """A report that rows are added to.

    Args:
        truth: Who passed, by the line's number, from a badge log; it comes before a row's own expectation.
        is_listed: Returns whether a person is among the people of then; None: the people are not known.
        is_listed_now: The same of the people that are searched now.
    """

    def __init__(
        self,
        truth: Truth | None = None,
        is_listed: Callable[[str], bool] | None = None,
        is_listed_now: Callable[[str], bool] | None = None,
    ) -> None:
        self._truth = truth
        self._whole = PartTally()
        self._tiers: dict[Tier, PartTally] = {tier: PartTally() for tier in get_args(Tier)}
        self._kinds: Counter[Kind] = Counter()
        self._opens = 0
        self._not_compared: Counter[str] = Counter()
        self._devices, self._groups = Parts(MOST_DEVICES), Parts(MOST_GROUPS)
        self._then, self._now = _Side(is_listed), _Side(is_listed_now)
        self._changes: dict[PairedOf, _Changes] = {of: _Changes() for of in get_args(PairedOf)}
        self._times: dict[TimesOf, Times] = {of: Times() for of in get_args(TimesOf)}
        self._expected: dict[str, bool] = {}
        self._shown: dict[Kind, list[ReportedRow]] = {}
        self._troubles: list[ReportedRow] = []

    def add(self, row: Row) -> ReportedRow | None:
        """Add the next row and return it as the report shows it; None: nothing differs."""
        status = status_of(row)
        expected, group = self._expectation(row)
        whole, device = self._whole, self._devices[row.line.request.device_ip or ""]
        parts = (whole, device) if group is None else (whole, device, self._groups[group])
        for part in parts:
            part.counts[status] += 1
        if row.tier is not None:
            self._tiers[row.tier].counts[status] += 1
        self._add_decisions(row, expected, parts)
        self._add_times(row)
        if status == "not_compared":
            then = row.line.decision
            self._not_compared["undecided" if then is None else then.outcome] += 1
        return None if status == "same" else self._kept(reported(row, status, expected, group))

    def shown(self) -> list[ReportedRow]:
        """Return at most `MOST_SHOWN` differing rows, the gravest kinds first, and in the order of lines."""
        rows = [row for kind in KINDS for row in self._shown.get(kind, ())]
        return rows[:MOST_SHOWN]

    def troubles(self) -> list[ReportedRow]:
        """Return the first rows that could not be decided, at most `MOST_TROUBLES`."""
        return self._troubles

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(self._whole.counts.values())

    def exit_status(self, fail_on: frozenset[FailOn] | None = None) -> int:
        """Return the exit status of the replay.

        0: all compared rows are as recorded or expected. 1: a row differs, in a kind of `fail_on` where that is given.
        2: a row could not be decided, or no row was compared.
        """
        counts = self._whole.counts
        if counts["could_not_run"] or not (counts["same"] or counts["different"]):
            return 2
        if fail_on is None:
            return 1 if counts["different"] else 0
        return 1 if any(self._opens if what == "opens" else self._kinds[what] for what in fail_on) else 0

    def findings(self, stopped: str | None = None) -> Findings:
        """Return the report so far. `stopped`: why the replay ended before the last line."""
        then, now = self._then.outcomes, self._now.outcomes
        not_enrolled = sum(not enrolled for enrolled in self._expected.values())
        return Findings(
            **self._whole.counts,
            stopped=stopped,
            tiers={tier: tally.part("").counts for tier, tally in self._tiers.items() if any(tally.counts.values())},
            kinds={kind: self._kinds[kind] for kind in KINDS if self._kinds[kind]},
            opens=self._opens,
            not_compared_because=dict(sorted(self._not_compared.items())),
            outcomes=tuple(
                OutcomeCount(outcome=name, then=then[name], now=now[name])
                for name in sorted({*then, *now}, key=lambda name: (-then[name], name))
            ),
            truth=None if self._truth is None else self._truth.counts,
            whole=self._whole.part("all"),
            devices=self._devices.parts(),
            groups=self._groups.parts(),
            failure_to_enrol=rate_of(not_enrolled, len(self._expected)),
            then=self._then.scores.figures(),
            now=self._now.scores.figures(),
            paired=_present(changes.figures(of) for of, changes in self._changes.items()),
            histograms=(*self._then.scores.histograms("then"), *self._now.scores.histograms("now")),
            thresholds=(*self._then.scores.thresholds("then"), *self._now.scores.thresholds("now")),
            latency=_present(times.figures(of) for of, times in self._times.items()),
        )

    def _expectation(self, row: Row) -> tuple[str | None, str | None]:
        """Return the identity that is known to be in the picture, and its group."""
        known = None if self._truth is None else self._truth.passages.get(row.number)
        if known is not None:
            return known.identity_id, known.group
        return row.expected, None

    def _add_decisions(self, row: Row, expected: str | None, parts: Sequence[PartTally]) -> None:
        then = self._then.add(row.line.decision, expected, [part.then for part in parts])
        now = self._now.add(row.now, expected, [part.now for part in parts])
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

    def _kept(self, row: ReportedRow) -> ReportedRow:
        if row.kind is not None:
            self._kinds[row.kind] += 1
            self._opens += row.opens
            kept = self._shown.setdefault(row.kind, [])
            if len(kept) < MOST_SHOWN:
                kept.append(row)
        elif row.trouble is not None and len(self._troubles) < MOST_TROUBLES:
            self._troubles.append(row)
        return row


def _present(figures: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(figure for figure in figures if figure is not None)

"""Adds the rows of a replay up to a report, whose memory grows with the people and devices but not with the rows."""

from collections import Counter
from collections.abc import Sequence

from capture.reporting.kinds import KINDS, FailOn, Kind
from capture.reporting.sums import NOTHING_KNOWN, Known, SummingUp, Sums
from capture.reporting.values import Findings, ReportedRow, TruthCounts
from capture.reporting.views import reported
from capture.rows import Row, SameRows

MOST_SHOWN = 500
"""The most differing rows that a report keeps; of more, the gravest kinds' first ones are kept."""
MOST_TROUBLES = 100


class Report:
    """A report that rows are added to.

    Args:
        known: what is known about the people in the pictures, besides the rows.
        truth: the counts of the badge log's join; None: there is no badge log.
    """

    def __init__(self, known: Known = NOTHING_KNOWN, truth: TruthCounts | None = None) -> None:
        self._known, self._truth = known, truth
        self._sums = Sums()
        self._kinds: Counter[Kind] = Counter()
        self._opens = 0
        self._shown: dict[Kind, list[ReportedRow]] = {}
        self._troubles: list[ReportedRow] = []

    @property
    def summing(self) -> SummingUp:
        """Adds rows up for `add_same`."""
        return SummingUp(self._known)

    def add(self, row: Row) -> ReportedRow | None:
        """Add the next row and return it as the report shows it; None: nothing differs, and nothing is to remark."""
        status = self._sums.add(row, self._known)
        if status == "same" and row.remark is None:
            return None
        return self._kept(reported(row, status, *self._known.expectation(row)))

    def add_same(self, rows: SameRows[Sums]) -> None:
        """Add rows in which nothing differs, which `summing` has added up."""
        self._sums.merge(rows.sums)

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
        return sum(self._sums.whole.counts.values())

    def exit_status(self, fail_on: frozenset[FailOn] | None = None) -> int:
        """Return the exit status of the replay.

        0: all compared rows are as recorded or expected. 1: a row differs, in a kind of `fail_on` where that is given.
        2: a row could not be decided, or no row was compared.
        """
        counts = self._sums.whole.counts
        if counts["could_not_run"] or not (counts["same"] or counts["different"]):
            return 2
        if fail_on is None:
            return 1 if counts["different"] else 0
        return 1 if any(self._opens if what == "opens" else self._kinds[what] for what in fail_on) else 0

    def findings(self, stopped: str | None = None, damage: Sequence[str] = ()) -> Findings:
        """Return the report so far.

        `stopped`: why the replay ended before the last line. `damage`: what is wrong with the capture, in sentences.
        """
        sums = self._sums
        return Findings(
            **sums.whole.counts,
            stopped=stopped,
            damage=tuple(damage),
            tiers={tier: tally.part("").counts for tier, tally in sums.tiers.items() if any(tally.counts.values())},
            kinds={kind: self._kinds[kind] for kind in KINDS if self._kinds[kind]},
            opens=self._opens,
            not_compared_because=sums.not_compared_because(),
            remarks=dict(sorted(sums.remarks.items())),
            outcomes=sums.outcomes(),
            truth=self._truth,
            whole=sums.whole.part("all"),
            devices=sums.devices(),
            groups=sums.groups(),
            failure_to_enrol=sums.failure_to_enrol(),
            then=sums.then.scores.figures(),
            now=sums.now.scores.figures(),
            paired=sums.paired(),
            histograms=(*sums.then.scores.histograms("then"), *sums.now.scores.histograms("now")),
            thresholds=(*sums.then.scores.thresholds("then"), *sums.now.scores.thresholds("now")),
            latency=sums.latency(),
        )

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

"""The findings of a report as tables of text, which the text output and the HTML file share. Pure."""

from dataclasses import dataclass

from capture.reporting.kinds import KIND_WORDS
from capture.reporting.values import ByThreshold, Counts, Findings, FnmrAt, Part, Rate, Rates

RESULT_WORDS = {
    "same": "the decision is as recorded, or as expected",
    "different": "the decision differs",
    "not_compared": "nobody decided about the picture then, or nothing is expected",
    "could_not_run": "the row could not be decided",
}
_TIER_WORDS = {
    "decide": "decided again from the recorded embedding or refusal",
    "look": "looked at again: the picture went through the engine",
    "url": "decided by the server that was called",
}
_TIMES_WORDS = {
    "recorded": "recorded: from arrival to decision",
    "recorded_engine": "recorded: work of the engine",
    "replayed_engine": "replayed: work of the engine",
    "server": "server: from call to answer",
}
_PAIRED_WORDS = {"everybody": "all rows", "enrolled": "enrolled people", "strangers": "everybody else"}
_NONE = "-"

MOST_PARTS = 50
"""The most devices, or groups, in a table."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with one sentence that explains it. The first column names the row, `numbers` columns follow, and then
    columns of words."""

    title: str
    words: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: int


def tables(findings: Findings) -> list[Table]:
    """Return the tables that have rows."""
    every = (
        _kinds(findings),
        _not_compared(findings),
        _remarks(findings),
        _outcomes(findings),
        _tiers(findings),
        _acquisition(findings),
        _recognition(findings),
        _thresholds(findings),
        _paired(findings),
        _truth(findings),
        _parts("By group", "The groups are those of the badge log (ISO/IEC 19795-10).", findings.groups),
        _parts("By device", "Devices with the most differences come first.", findings.devices),
        _latency(findings),
    )
    return [table for table in every if table.rows]


def _kinds(findings: Findings) -> Table:
    rows = ((kind, str(findings.kinds[kind]), words) for kind, words in KIND_WORDS.items() if kind in findings.kinds)
    words = (
        f"Every differing row has one kind; the gravest kinds come first. In {findings.opens} rows a door would open "
        "that stayed closed."
    )
    return Table("Differences by kind", words, ("kind", "rows", "meaning"), tuple(rows), 1)


def _not_compared(findings: Findings) -> Table:
    rows = tuple((outcome, str(count)) for outcome, count in findings.not_compared_because.items())
    words = "These rows count neither as the same nor as different, because there is nothing to compare with."
    return Table("Not compared", words, ("outcome then", "rows"), rows, 1)


def _remarks(findings: Findings) -> Table:
    rows = tuple((remark, str(count)) for remark, count in findings.remarks.items())
    words = "What to know about how rows were decided; the JSON output lists the rows, also those that are the same."
    return Table("Remarks", words, ("remark", "rows"), rows, 1)


def _outcomes(findings: Findings) -> Table:
    rows = tuple((count.outcome, str(count.then), str(count.now)) for count in findings.outcomes)
    return Table("Outcomes", "How many decisions have each outcome.", ("outcome", "then", "now"), rows, 2)


def _tiers(findings: Findings) -> Table:
    rows = tuple((tier, *_counts(counts), _TIER_WORDS.get(tier, "")) for tier, counts in findings.tiers.items())
    return Table("Tiers", "How the rows were decided.", ("tier", *_COUNTS, "meaning"), rows, 4)


_COUNTS = ("same", "different", "not compared", "could not run")


def _counts(counts: Counts) -> tuple[str, ...]:
    return str(counts.same), str(counts.different), str(counts.not_compared), str(counts.could_not_run)


def _acquisition(findings: Findings) -> Table:
    whole, enrol = findings.whole, findings.failure_to_enrol
    rows = [
        (
            "failure to acquire (FTA)",
            _rate(whole.then.failure_to_acquire),
            _rate(whole.now.failure_to_acquire),
            "the share of pictures without a usable face: no_face, low_quality or image_error",
        )
    ]
    if enrol.then.trials or enrol.now.trials:
        words = "the share of people with a known truth who were enrolled at none of their decisions"
        rows.append(("failure to enrol (FTE)", _rate(enrol.then), _rate(enrol.now), words))
    return Table("Acquisition", _INTERVALS, ("figure", "then", "now", "meaning"), tuple(rows), 2)


_INTERVALS = "Each rate has its 95 % confidence interval, as if rows were independent, and its errors of all trials."
_RATES = (
    ("FNIR", "fnir", "the share of searches for enrolled people that did not recognise the person"),
    ("FNIR with refusals", "fnir_with_refusals", "the same, where a refused picture of an enrolled person is an error"),
    ("FPIR", "fpir", "the share of searches by people who are not enrolled that recognised somebody"),
    ("another person", "another_person", "the share of searches for enrolled people that recognised somebody else"),
)


def _recognition(findings: Findings) -> Table:
    whole = findings.whole
    rows = tuple(
        (name, _rate(getattr(whole.then, field)), _rate(getattr(whole.now, field)), words)
        for name, field, words in _RATES
        if any(getattr(rates, field).trials for rates in (whole.then, whole.now))
    )
    words = (
        "The thresholds in force, where the truth is known. Enrolled is whoever had a face at the time of the "
        f"decision, in whatever group. {_INTERVALS}"
    )
    return Table("Recognition (1:N)", words, ("figure", "then", "now", "meaning"), rows, 2)


def _thresholds(findings: Findings) -> Table:
    sides = findings.then, findings.now
    rows: list[tuple[str, ...]] = []
    for fpir in sorted({at.fpir for side in sides if side is not None for at in side.fnir_at}):
        cells = (_fnir_at(side, fpir) for side in sides)
        rows.append((f"FNIR at FPIR {fpir:g}", *cells, f"the FNIR where the threshold lets {fpir:.1%} of strangers in"))
    rows.append(("EER", *(_equal(side) for side in sides), "the rate at which FMR and FNMR are equal"))
    for name, share in (("fmr100", "1 %"), ("fmr1000", "0.1 %")):
        cells = (_fnmr_at(None if side is None else getattr(side, name)) for side in sides)
        rows.append((name.upper(), *cells, f"the FNMR where the threshold lets {share} of non-mated comparisons match"))
    words = (
        "The figures at other thresholds, each with its threshold. EER, FMR100 and FMR1000 compare the score of the "
        "person with the highest score of somebody else in every search, so they are stricter than a test of all pairs."
    )
    present = tuple(row for row in rows if row[1:3] != (_NONE, _NONE))
    return Table("Trade-off", words, ("figure", "then", "now", "meaning"), present, 2)


def _fnir_at(side: ByThreshold | None, fpir: float) -> str:
    found = next((at for at in side.fnir_at if at.fpir == fpir), None) if side is not None else None
    return _NONE if found is None else f"{_rate(found.fnir)} at {_number(found.threshold)}"


def _equal(side: ByThreshold | None) -> str:
    return _NONE if side is None or side.eer is None else f"{side.eer.rate:.4f} at {_number(side.eer.threshold)}"


def _fnmr_at(at: FnmrAt | None) -> str:
    return _NONE if at is None else f"{_rate(at.fnmr)} at {_number(at.threshold)}"


def _paired(findings: Findings) -> Table:
    rows = tuple(
        (
            _PAIRED_WORDS[paired.of],
            str(paired.trials),
            str(paired.errors_then),
            str(paired.errors_now),
            str(paired.came),
            str(paired.went),
            _p_value(paired.p_value),
        )
        for paired in findings.paired
    )
    words = (
        "McNemar's exact test on the rows that both systems decided: p is the probability that chance alone divides "
        "the errors that came and went so unevenly. A p below .05 is seldom chance."
    )
    columns = ("rows", "trials", "errors then", "errors now", "came", "went", "p")
    return Table("Change of errors", words, columns, rows, 6)


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _truth(findings: Findings) -> Table:
    truth = findings.truth
    if truth is None:
        return Table("Badge log", "", (), (), 0)
    rows = (
        ("badges", *map(str, (truth.badges, truth.matched_badges, truth.ambiguous_badges, truth.unmatched_badges))),
        (
            "passages",
            *map(str, (truth.passages, truth.matched_passages, truth.ambiguous_passages, truth.unmatched_passages)),
        ),
    )
    words = "A badge belongs to the nearest passage at its door; a passage with badges of two people is ambiguous."
    return Table("Badge log", words, ("", "all", "matched", "ambiguous", "unmatched"), rows, 4)


def _parts(title: str, words: str, parts: tuple[Part, ...]) -> Table:
    known = any(_is_known(part.then) or _is_known(part.now) for part in parts)
    rates = (("FTA", "failure_to_acquire"), *((name, field) for name, field, _ in _RATES if field in ("fnir", "fpir")))
    chosen = rates if known else rates[:1]
    columns = [title.removeprefix("By "), "same", "different"]
    columns += [f"{name} {side}" for name, _ in chosen for side in ("then", "now")]
    if len(parts) > MOST_PARTS:
        words = f"{words} {MOST_PARTS} of {len(parts)} are listed here, and all in the JSON."
    rows = (
        (
            part.name or "(no name)",
            str(part.counts.same),
            str(part.counts.different),
            *(_short(getattr(side, field)) for _, field in chosen for side in (part.then, part.now)),
        )
        for part in parts[:MOST_PARTS]
    )
    return Table(title, f"{words} {_SHORT}", tuple(columns), tuple(rows), len(columns) - 1)


_SHORT = "Rates have their 95 % confidence interval."


def _is_known(rates: Rates) -> bool:
    return bool(rates.fnir.trials or rates.fpir.trials)


def _latency(findings: Findings) -> Table:
    rows = tuple(
        (_TIMES_WORDS[times.of], str(times.count), *map(_ms, (times.p50, times.p95, times.p99, times.longest)))
        for times in findings.latency
    )
    words = "Milliseconds; half of the times are at most p50, 99 of 100 at most p99."
    return Table("Latency", words, ("time", "count", "p50", "p95", "p99", "longest"), rows, 5)


def _ms(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def _rate(rate: Rate) -> str:
    """Return a rate with its interval and counts: 0.0123 (0.0080 to 0.0190), 12 of 976."""
    return _NONE if rate.rate is None else f"{_short(rate)}, {rate.errors} of {rate.trials}"


def _short(rate: Rate) -> str:
    return _NONE if rate.rate is None else f"{rate.rate:.4f} ({rate.low:.4f} to {rate.high:.4f})"


def _number(value: float) -> str:
    return f"{value:.4f}"

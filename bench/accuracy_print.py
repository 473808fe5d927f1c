"""What `bench.accuracy` prints."""

from rich.console import Console
from rich.table import Table

from bench.accuracy_figures import FARS, OfAllPairs, OpenSet, Rejection, Report, Verification
from bench.label_doubts import PAIRS_A_PERSON, LabelDoubts
from bench.promise import Promise


def print_report(report: Report, console: Console) -> None:
    """All figures, with what they were taken from."""
    console.print(f"{report.source.folder}: {report.photos} photos of {report.people} people", highlight=False)
    console.print(
        f"Of several faces the {_choice(report)} counts ({report.several_faces} photos show several). No face found in "
        f"{report.no_face}, not usable {report.unreadable}; they count as non-matches in the pairs and are left out of "
        "the rest.",
        highlight=False,
    )
    if report.verification:
        _print_verification(report.verification, report.source.pairs_from, console)
    _print_all_pairs(report.all_pairs, console)
    _print_doubts(report.doubts, console)
    if report.open_set:
        _print_open_set(report.open_set, console)
    _print_promise(report.promise, console)
    if report.rejection:
        _print_rejection(report.rejection, console)
    for name, why in report.missing.items():
        console.print(f"\n{name}: not measured; {why}", highlight=False)


def _choice(report: Report) -> str:
    choices = {
        "chosen": "one that a match chooses",
        "centred": "one nearest the middle",
        "largest": "largest",
        "only": "only one (no other)",
    }
    return choices[report.source.face]


def _print_verification(found: Verification, pairs_from: str, console: Console) -> None:
    told = {point.fmr: point for point in found.tar}
    table = Table(title=f"1:1, {found.genuine} + {found.impostor} pairs ({pairs_from})", title_justify="left")
    for column in ("figure", "value", "threshold"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    thresholds = [fold.threshold for fold in found.folds]
    table.add_row(
        f"accuracy, {len(found.folds)} folds, threshold from the others",
        f"{_percent(found.accuracy)} +- {100 * found.standard_error:.2f} (standard error over folds)",
        f"{min(thresholds):.3f} to {max(thresholds):.3f}",
    )
    table.add_row("EER", _percent(found.equal_error.rate), f"{found.equal_error.threshold:.3f}")
    for far in FARS:
        point = told.get(far)
        table.add_row(
            f"TAR at FAR {far:.0e}",
            _percent(point.tar) if point else f"not told by {found.impostor} pairs",
            f"{point.threshold:.3f}" if point else "",
        )
    console.print()
    console.print(table)


def _print_all_pairs(found: OfAllPairs, console: Console) -> None:
    title = f"All pairs: {found.genuine} of one person, {found.impostor} of different people"
    if found.equal_error:
        title += f"; EER {_percent(found.equal_error.rate)}"
    table = Table(title=title, title_justify="left")
    columns = ("FMR (FAR)", "threshold", "FNMR", "Wilson 95 %", "of all pairs", "threshold*", "FNMR*", "")
    for column in columns:
        table.add_column(column, justify="right")
    for row in found.rows:
        low, high = row.interval
        table.add_row(
            f"{row.fmr:.0e}",
            f"{row.threshold:.3f}",
            _percent(row.fnmr),
            f"{100 * low:.2f} to {100 * high:.2f}",
            _percent(row.fnmr_of_all),
            f"{row.clean_threshold:.3f}",
            _percent(row.clean_fnmr),
            "" if row.told else "fewer than ten false matches",
        )
    console.print()
    console.print(table)
    console.print(
        f"FNMR and EER count at most {PAIRS_A_PERSON} pairs a person ({found.counted} pairs). The column of all pairs "
        f"flatters where few people have most pairs; one person has {100 * found.largest_share:.0f} % of them. "
        "* without the pairs with likely wrong labels. The Wilson intervals are too narrow, since pairs share photos.",
        highlight=False,
    )


def _print_doubts(found: LabelDoubts, console: Console) -> None:
    rule = found.rule
    console.print()
    if rule.different_from is None and not rule.low:
        console.print("Likely wrong labels: none by the rule.", highlight=False)
        return
    if rule.different_from is not None:
        console.print(
            f"Likely wrong labels: {rule.surplus} more pairs of different people at {rule.different_from:.3f} or more "
            f"than chance explains (same person twice, or relatives); the most alike {len(found.different)}:",
            highlight=False,
        )
    for pair in found.different:
        console.print(f"  {pair.score:.3f}  {pair.first}  {pair.second}", highlight=False, markup=False)
    if rule.low and rule.same_below is not None:
        console.print(
            f"Likely wrong labels: {rule.low} pairs of one person below {rule.same_below:.3f}, less alike than one in "
            f"ten pairs of different people (another person's face); the least alike {len(found.same)}:",
            highlight=False,
        )
    for pair in found.same:
        console.print(f"  {pair.score:.3f}  {pair.first}  {pair.second}", highlight=False, markup=False)


def _print_promise(found: Promise, console: Console) -> None:
    console.print()
    if found.kept:
        table = Table(
            title=f"The shipped threshold by the size of the group, {found.draws} draws each", title_justify="left"
        )
        for column in (
            "faces",
            "target",
            "threshold",
            "FPIR",
            "95 % *",
            "FPIR / target",
            "by all pairs",
            "FNIR",
            "95 % *",
        ):
            table.add_column(column, justify="right")
        for row in found.kept:
            mark = " (extrapolated)" if row.applied.extrapolated else ""
            table.add_row(
                f"{row.faces:,}",
                f"{100 * row.target:g} %",
                f"{row.applied.cosine:.3f}{mark}",
                f"{100 * row.fpir:.3f} %",
                "{:.3f} to {:.3f}".format(*(100 * end for end in row.fpir_interval)),
                f"{row.fpir / row.target:.2f}",
                f"{100 * row.fpir_of_pairs:.3f} %",
                "" if row.fnir is None else _percent(row.fnir),
                "" if row.fnir_interval is None else "{:.2f} to {:.2f}".format(*(100 * e for e in row.fnir_interval)),
            )
        console.print(table)
        console.print(
            "* infinitesimal jackknife over people, for FPIR up to 1.5 times too wide, and unreliable where few pairs "
            "of people pass. Each search of a draw is one photo of one person. 'By all pairs' is the FPIR that the "
            "rate of false matches of all pairs would give.",
            highlight=False,
        )
    if found.skipped:
        sizes = ", ".join(f"{size:,}" for size in found.skipped)
        console.print(f"Groups of {sizes} faces: skipped, since too few strangers would remain.", highlight=False)


def _print_open_set(found: OpenSet, console: Console) -> None:
    title = (
        f"1:N, open set: gallery of {found.gallery} people with one photo each, {found.probes} searches for them, "
        f"{found.strangers} by strangers; {found.splits} draws"
    )
    table = Table(title=title, title_justify="left")
    for column in ("FPIR", "threshold", "FNIR", "deviation between draws", "strangers let in"):
        table.add_column(column, justify="right")
    for point in found.points:
        table.add_row(
            f"{point.fpir:.0e}",
            f"{point.threshold:.3f}",
            _percent(point.fnir),
            f"{100 * point.fnir_deviation:.2f}",
            f"{point.false_positives:.1f}",
        )
    at = found.at_applied
    table.add_row(
        _percent(at.fpir),
        f"{at.threshold:.3f} (the default's)",
        _percent(at.fnir),
        f"{100 * at.fnir_deviation:.2f}",
        f"{at.fpir * found.strangers:.1f}",
    )
    console.print()
    console.print(table)
    aim = "" if found.applied.target_fpir is None else f" (aim: FPIR {found.applied.target_fpir:g})"
    console.print(
        f"The last row is the threshold that a search takes by default among {found.gallery} faces: rule "
        f"{found.applied.rule}{aim}. Not ranked first, whatever the threshold: {_percent(found.rank_one_misses)}.",
        highlight=False,
    )


def _print_rejection(found: Rejection, console: Console) -> None:
    title = (
        f"Error versus reject: FNMR of {found.pairs} genuine pairs at threshold {found.threshold:.3f} "
        f"({found.failures} fail) when the worst are rejected"
    )
    table = Table(title=title, title_justify="left")
    curves = list(found.curves.items())
    table.add_column("quality")
    table.add_column("AUC", justify="right")
    for share in curves[0][1].rejected:
        table.add_column(f"{100 * share:g} %", justify="right")
    for name, curve in curves:
        table.add_row(
            name, "" if curve.auc is None else f"{curve.auc:.3f}", *(f"{100 * fnmr:.2f}" for fnmr in curve.fnmr)
        )
    table.add_row("(a score that knew)", "1.000", *(f"{100 * fnmr:.2f}" for fnmr in curves[0][1].best_fnmr))
    console.print()
    console.print(table)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"

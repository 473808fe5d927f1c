"""What `bench.accuracy` prints."""

from rich.console import Console
from rich.table import Table

from bench.accuracy_figures import FARS, OfAllPairs, OpenSet, Rejection, Report, Verification


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
    if report.open_set:
        _print_open_set(report.open_set, console)
    if report.rejection:
        _print_rejection(report.rejection, console)
    for name, why in report.missing.items():
        console.print(f"\n{name}: not measured; {why}", highlight=False)


def _choice(report: Report) -> str:
    return "one nearest the middle" if report.source.face == "centred" else "largest"


def _print_verification(found: Verification, pairs_from: str, console: Console) -> None:
    told = {point.fmr: point for point in found.tar}
    table = Table(title=f"1:1, {found.genuine} + {found.impostor} pairs ({pairs_from})", title_justify="left")
    for column in ("figure", "value", "threshold"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    thresholds = [fold.threshold for fold in found.folds]
    table.add_row(
        f"accuracy, {len(found.folds)} folds, threshold from the others",
        f"{_percent(found.accuracy)} +- {100 * found.standard_error:.2f}",
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
    for column in ("FMR (FAR)", "threshold", "FNMR", "95 %", "TAR", ""):
        table.add_column(column, justify="right")
    for row in found.rows:
        low, high = row.interval
        table.add_row(
            f"{row.fmr:.0e}",
            f"{row.threshold:.3f}",
            _percent(row.fnmr),
            f"{100 * low:.2f} to {100 * high:.2f}",
            _percent(1 - row.fnmr),
            "" if row.told else "fewer than ten false matches",
        )
    console.print()
    console.print(table)


def _print_open_set(found: OpenSet, console: Console) -> None:
    title = (
        f"1:N, open set: gallery of {found.gallery} people with one photo each, {found.probes} searches for them, "
        f"{found.strangers} by strangers; {found.splits} draws"
    )
    table = Table(title=title, title_justify="left")
    for column in ("FPIR", "threshold", "FNIR", "deviation", "strangers let in"):
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

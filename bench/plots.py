"""The pictures of `bench.accuracy --plots`: drawn with matplotlib, an optional extra."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.accuracy_figures import Rejection
from engine.evaluation.pairs import HISTOGRAM_EDGES, AllPairs
from engine.evaluation.reject import RejectCurve
from engine.evaluation.scores import roc


class NoPlots(Exception):
    """matplotlib is not installed; the message says how to get it."""


def require_matplotlib() -> Any:
    """matplotlib's Figure class: used without pyplot, so no display is asked for.

    Raises:
        NoPlots: it is not installed.
    """
    try:
        from matplotlib.figure import Figure  # an optional extra
    except ImportError as error:
        raise NoPlots("--plots needs matplotlib; run: pip install -e '.[plots]'") from error
    return Figure


@dataclass(frozen=True, slots=True)
class Plots:
    """The files written, and file name -> why it was not."""

    written: Sequence[Path]
    left_out: Mapping[str, str]


def draw_plots(folder: Path, pairs: AllPairs, rejection: Rejection | None) -> Plots:
    """Write roc.png, scores.png and reject.png, those for which the photos give what they show.

    Raises:
        NoPlots: matplotlib is not installed.
        OSError: the folder cannot be written.
    """
    figure = require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    left_out: dict[str, str] = {}
    lacking = _lacking(pairs)
    if lacking:
        left_out |= dict.fromkeys(("roc.png", "scores.png"), lacking)
    else:
        written += [_roc(figure, folder / "roc.png", pairs), _scores(figure, folder / "scores.png", pairs)]
    if rejection is None:
        left_out["reject.png"] = lacking or "error versus reject was not measured"
    else:
        written.append(_reject(figure, folder / "reject.png", rejection))
    return Plots(written, left_out)


def _lacking(pairs: AllPairs) -> str:
    """The kind of pair that is missing, and what helps; empty if both are there."""
    if not len(pairs.genuine_scores):
        return "no two photos show one person; give people with several photos"
    return "" if pairs.scores.impostor_count else "all photos show one person; give photos of several people"


def _axes(figure: Any, title: str, x: str, y: str) -> tuple[Any, Any]:
    sheet = figure(figsize=(7, 4.5), layout="constrained")
    axes = sheet.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, which="both", alpha=0.3)
    return sheet, axes


def _save(sheet: Any, path: Path) -> Path:
    sheet.savefig(path, dpi=120)
    return path


def _roc(figure: Any, path: Path, pairs: AllPairs) -> Path:
    scores = pairs.scores
    told = len(scores.impostor) / scores.impostor_count
    points = roc(scores, [float(far) for far in np.logspace(-8, 0, 321) if far < told])
    sheet, axes = _axes(figure, "ROC, all pairs", "false accept rate", "true accept rate")
    axes.step([point.fmr for point in points], [point.tar for point in points], where="post")
    axes.set_xscale("log")
    axes.axvline(10 / scores.impostor_count, color="grey", linestyle=":", label="ten false accepts")
    axes.legend(loc="lower right")
    return _save(sheet, path)


def _scores(figure: Any, path: Path, pairs: AllPairs) -> Path:
    genuine, _ = np.histogram(pairs.genuine_scores, HISTOGRAM_EDGES)
    sheet, axes = _axes(figure, "Scores of all pairs", "cosine", "share of its kind per bin")
    for counts, name in ((pairs.impostor_histogram, "different people"), (genuine, "one person")):
        axes.stairs(
            counts / max(1, counts.sum()), HISTOGRAM_EDGES, fill=True, alpha=0.5, label=f"{name}: {counts.sum()}"
        )
    axes.set_yscale("log")
    axes.legend()
    return _save(sheet, path)


def _reject(figure: Any, path: Path, rejection: Rejection) -> Path:
    sheet, axes = _axes(
        figure,
        f"Error versus reject at threshold {rejection.threshold:.3f}",
        "share of genuine pairs rejected",
        "FNMR of the rest",
    )
    for name, curve in rejection.curves.items():
        axes.plot(curve.rejected, curve.fnmr, marker=".", label=_label(name, curve))
    best = next(iter(rejection.curves.values()))
    axes.plot(best.rejected, best.best_fnmr, color="grey", linestyle=":", label="a score that knew the failures")
    axes.legend()
    return _save(sheet, path)


def _label(name: str, curve: RejectCurve) -> str:
    return name if curve.auc is None else f"{name} (AUC {curve.auc:.3f})"

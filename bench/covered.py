"""How well covered faces are recognised: `python -m bench.covered [PATH]`, with drawn face masks and sunglasses.

Printed are the curves of false match rates of covered faces, what the engine's search makes of enrolled people and of
strangers with bare, masked and shaded faces, with and without templates of covered faces, what other templates would
give, the errors of the item mask, and the cost. The covers are drawn (bench.drawn_covers), with other shapes, colours
and patterns than the drawings of an enrolment. They are no real masks and no real sunglasses.
"""

import os
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bench.covered_figures import (
    EVERYBODY,
    FPIRS,
    cover_curve,
    enrolled_people,
    identified,
    mask_item_errors,
    rank_one,
    splits_of,
    without_covers,
)
from bench.covered_set import LOOKS, CoveredSet, keep_covered, load_covered, see_covered
from bench.face_sets import BadSet, photos_of_people
from bench.seen_set import cache_key
from contract.terms import COVERS
from engine.calls.matching import CANDIDATES
from engine.covered_search import covered_match, covered_thresholds, near_enough
from engine.evaluation.openset import Split
from engine.evaluation.photos import FaceChoice
from engine.policy import Policy
from engine.vision.ports import Embedder, ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

DEFAULT_SET = Path("../shared/data/lfw-dev")
SIZES = (30, 100, 300)
_NAMES = {"plain": "bare", "mouth": "face mask", "eyes": "sunglasses"}
_SEARCHES = 200


@click.command(epilog="Example: python -m bench.covered lfw --cache covered.npz")
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--face",
    type=click.Choice(["centred", "largest"]),
    default="centred",
    show_default=True,
    help="Which of several faces is covered and looked at.",
)
@click.option("--cache", type=click.Path(dir_okay=False, path_type=Path), help="Keep the vectors here, and reuse them.")
@click.option("--threads", type=click.IntRange(1, 64), help="Photos at a time.  [default: one per core]")
@click.option("--splits", default=10, show_default=True, help="Choices of enrolled people and strangers.")
@click.pass_context
def main(
    ctx: click.Context, path: Path | None, face: FaceChoice, cache: Path | None, threads: int | None, splits: int
) -> None:
    """Figures of covered faces, from the photos of PATH, a folder with a folder per person.

    Default: ../shared/data/lfw-dev.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"skipped: {DEFAULT_SET} is not here; give a folder of people")
        return
    try:
        models = open_models(settings_of(ctx))
        seen = _see(path or DEFAULT_SET, models, face, cache, threads or os.cpu_count() or 1)
        with threadpool_limits(1):
            print_figures(seen, models.embedder, splits, Console(width=120))
    except (BadSet, ModelError, ValueError) as error:
        raise UserError(str(error)) from error


def _see(path: Path, models: ModelSet, face: FaceChoice, cache: Path | None, threads: int) -> CoveredSet:
    photos = photos_of_people(path)
    key = "" if cache is None else cache_key(models, face, list(photos))
    kept = None if cache is None else load_covered(cache, key)
    if kept is not None:
        click.echo(f"vectors are those kept in {cache}, as the code was then", err=True)
        return kept
    with progress("seeing photos", len(photos)) as steps:
        seen = see_covered(photos, models, face, threads, steps.step)
    if cache is not None:
        keep_covered(cache, key, seen)
    return seen


def print_figures(seen: CoveredSet, embedder: Embedder, count: int, console: Console) -> None:
    """Print all figures of a seen set."""
    people = len(np.unique(seen.people))
    console.print(f"{len(seen.people)} photos of {people} people; covers are drawn, not real", highlight=False)
    for cover in COVERS:
        missing = int((~seen.found(cover)).sum())
        console.print(f"no face found with drawn {_NAMES[cover]}: {missing} photos", highlight=False)
    _print_curves(seen, console)
    chosen = {size: splits_of(seen, size, count) for size in SIZES}
    _print_identified(seen, embedder, chosen, console)
    _print_templates(seen, chosen[SIZES[-1]], console)
    errors = mask_item_errors(seen)
    console.print("\nThe item mask says that the mouth is covered:", highlight=False)
    for look in LOOKS:
        console.print(f"  of faces with {_NAMES[look]}: {100 * errors[look]:.1f} %", highlight=False)
    _print_cost(seen, embedder, console)


def _print_curves(seen: CoveredSet, console: Console) -> None:
    table = _table("Covered faces and templates of them: rate of false matches, and its threshold", "cover", "curve")
    for cover in COVERS:
        curve, pairs = cover_curve(seen, cover, seen.template(cover))
        points = ", ".join(f"{point.fmr:.0e} {point.threshold:.3f}" for point in curve)
        table.add_row(_NAMES[cover], f"{points} ({pairs} pairs)")
    console.print(table)


def _print_identified(seen: CoveredSet, embedder: Embedder, chosen: dict[int, list[Split]], console: Console) -> None:
    policy = Policy()
    columns = ("enrolled", "templates", "identified", "as somebody else", "FPIR", "beside a stranger", "FPIR of two")
    table = _table("The engine's search at its default threshold", "face", *columns)
    for size, splits in chosen.items():
        for look in LOOKS:
            for name, used in (("whole faces", without_covers(policy)), ("and covered", policy)):
                found = identified(seen, look, splits, embedder, used)
                shares = (found.identified, found.mistaken, found.fpir, found.beside, found.fpir_of_two)
                percents = [
                    f"{100 * share:.{digits}f} %" for share, digits in zip(shares, (1, 2, 2, 1, 2), strict=True)
                ]
                table.add_row(_NAMES[look], str(min(size, found.enrolled)), name, *percents)
    console.print(table)


def _print_templates(seen: CoveredSet, splits: list[Split], console: Console) -> None:
    columns = ("templates", "rank 1", *(f"FNIR at FPIR {fpir:g}" for fpir in FPIRS))
    table = _table(f"Kinds of templates, {len(splits[0].gallery)} enrolled, best threshold for each", "face", *columns)
    for cover in COVERS:
        kinds = {
            "whole face": seen.probe("plain"),
            "drawing alone": seen.drawn[:, COVERS.index(cover)],
            "mean of both": seen.template(cover),
        }
        for name, templates in kinds.items():
            found = rank_one(seen, cover, templates, splits)
            rates = [f"{100 * found.fnir[fpir]:.1f} %" for fpir in FPIRS]
            table.add_row(_NAMES[cover], name, f"{100 * found.rank_one:.1f} %", *rates)
    console.print(table)


def _print_cost(seen: CoveredSet, embedder: Embedder, console: Console) -> None:
    rows = np.unique(seen.people, return_index=True)[1]
    snapshot, policy = enrolled_people(seen, rows).snapshot(), Policy()
    strangers = np.random.default_rng(7).permutation(seen.probe("plain"))[:_SEARCHES]
    thresholds = covered_thresholds(policy, embedder, len(rows))
    began = time.process_time()
    searches = [snapshot.gallery.search(probe, EVERYBODY) for probe in strangers]
    for search in searches:
        search.best(CANDIDATES)
    between = time.process_time()
    if thresholds:
        for probe, search in zip(strangers, searches, strict=True):
            covered_match(probe, search, snapshot, thresholds, near_enough(embedder, len(rows)))
    ended = time.process_time()
    whole, covered = (1000 * spent / len(strangers) for spent in (between - began, ended - between))
    size = snapshot.covered.vectors[0].nbytes
    console.print(
        f"\nA search among {len(rows)} faces takes {whole:.3f} ms of a core; where nobody was recognised, that of "
        f"covered faces takes {covered:.3f} ms more. The templates of a face take {size} bytes of memory.",
        highlight=False,
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 or column == "templates" else "right")
    return table


if __name__ == "__main__":
    main()

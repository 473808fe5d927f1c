"""picturematch calibrate: measure the curve of false match rates on the operator's own photos."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
from click.core import ParameterSource
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from clients.enrol_list import Entry, Unusable, find_entries
from clients.errors import CannotRun
from contract.terms import ThresholdRule
from contract.text import printable
from contract.vectors import Vector
from engine.evaluation.curve import LEAST_PAIRS, identification_fpir
from engine.evaluation.labels import WrongLabels, find_wrong_labels, without_wrong_labels
from engine.evaluation.pairs import AllPairs, score_all_pairs
from engine.evaluation.photos import FaceChoice
from engine.threshold import search_threshold
from engine.vision.ports import ModelSet
from models.errors import ModelError
from models.manifest import FmrPoint
from picturematch.calibration import (
    Calibration,
    calibrate,
    manifest_fragment,
    require_writable,
    write_fragment,
)
from picturematch.networks import store_of
from picturematch.options import UserError, config_option, settings_of
from picturematch.photos import Unmeasured, measure_photos
from picturematch.settings import Settings
from picturematch.shell import counted, progress
from picturematch.threshold_table import table_lines
from picturematch.wiring import open_models

_COUNTS: dict[FaceChoice, str] = {
    "chosen": "the one that a match chooses counts",
    "largest": "the largest counts",
    "centred": "the most central counts",
}
_SUSPECTS = 40
_PLAIN_WIDTH = 160
_WITH_TABLE = ("table", "config")
"""The parameters that have an effect beside --table."""

_REASONS: dict[ThresholdRule, str] = {
    "setting": "matching.threshold",
    "target_fpir": "by the curve in use",
    "floor": "by the curve in use, at matching.highest_fmr",
    "model": "the threshold of the embedder",
    "level": "by the curve in use",
    "accepted_score": "matching.accepted_score",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """The photos with an embedding, and the number of photos without one.

    Attributes:
        where: the place of each photo, as messages name it.
        whose: the person of each photo, a number below `people`.
        people: the number of people.
        vectors: the embedding of each photo.
        lost: the kind of failure -> the number of photos that were left out.
        several_faces: the number of photos that show several faces.
        face: the face that counts in these.
    """

    where: list[str]
    whose: NDArray[np.int64]
    people: int
    vectors: Vector
    lost: Counter[str]
    several_faces: int
    face: FaceChoice


@click.command(
    epilog="""\b
Examples:
  picturematch calibrate photos
  picturematch calibrate photos --suspects --leave-out-suspects
  picturematch calibrate --table
  picturematch calibrate photos --people 5000 --people 20000 --write manifest.toml"""
)
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--table", is_flag=True, help="Only print the thresholds by the curve in use, for many faces.")
@click.option(
    "--face",
    type=click.Choice(["chosen", "largest", "centred", "only"]),
    default="only",
    show_default=True,
    help="The face that counts: that of a match, the largest, the most central; or only photos with exactly one face.",
)
@click.option(
    "--people",
    "sizes",
    type=click.IntRange(1, 100_000_000),
    multiple=True,
    show_default="the people of PATH",
    help="Number of faces that a search compares; may be given several times.",
)
@click.option(
    "--write",
    "manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the curve to this manifest, or create it; nothing in the manifest is replaced.",
)
@click.option("--suspects", is_flag=True, help=f"Name up to {_SUSPECTS} pairs of each kind with likely wrong labels.")
@click.option("--leave-out-suspects", is_flag=True, help="Measure without the pairs with likely wrong labels.")
@click.option("--threads", type=click.IntRange(1, 64), show_default="one per core", help="Photos at a time.")
@click.option("--verbose", is_flag=True, help="Name each photo that cannot be used, and the reason.")
@click.pass_context
def command(
    ctx: click.Context,
    path: Path | None,
    table: bool,
    face: FaceChoice,
    sizes: tuple[int, ...],
    manifest: Path | None,
    suspects: bool,
    leave_out_suspects: bool,
    threads: int | None,
    verbose: bool,
) -> None:
    """Measure on the photos of PATH how similar different people are for the installed embedder.

    \b
    PATH is the same as for `picturematch enrol`:
      a folder of photos, one person each
      a folder of folders, one person each, with one or several photos
      a list ending in .csv or .jsonl with the columns path and identity_id

    The command prints, for each false match rate (FMR), the threshold, the share of true matches below the threshold
    (FNMR; needs people with several photos), and the share of strangers whom a search confuses with a person (FPIR);
    then it prints the curve for the manifest. To measure a rate, ten false matches are needed: 10,000 pairs of
    different people for 1e-3, a million for 1e-5. Nothing is enrolled or sent, and only the curve is written.

    A bystander, or a person who is in PATH under two names, makes the curve too strict. So photos with several faces
    are left out (--face), and --suspects names the pairs whose labels are likely wrong. Exit status: 0 a curve was
    measured or the table printed, 1 the photos are too few, 2 the command failed.
    """
    if table:
        _require_table_alone(ctx)
    settings = settings_of(ctx)
    try:
        models = open_models(settings)
        if table:
            _print_thresholds(models)
            return
        if path is None:
            raise click.UsageError("name the photos (PATH), or give --table for the thresholds by the curve in use")
        if manifest is not None:
            require_writable(manifest, models.embedder_identity)
        measured = _measure(path, models, face, settings, threads, verbose)
        pairs = _compare(measured)
        wrong = find_wrong_labels(pairs.scores, models.embedder.fmr_curve)
        scores = without_wrong_labels(pairs.scores, wrong) if leave_out_suspects else pairs.scores
        found = calibrate(scores, _reference(settings, models))
        faces = sizes or (measured.people,)
        _print_table(found, measured, faces)
        _print_suspects(pairs, wrong, measured, name=suspects, left_out=leave_out_suspects)
        if not found.curve:
            click.echo(f"picturematch: no curve was made: {_too_few(found)}", err=True)
            ctx.exit(1)
        _print_searches(found, faces, settings, models)
        fragment = manifest_fragment(found.curve, models.embedder_identity, _measured_on(found, measured, pairs))
        _hand_over(fragment, manifest, settings)
    except (ModelError, CannotRun) as error:
        raise UserError(printable(str(error))) from error
    except OSError as error:
        raise UserError(printable(f"{error.filename or path}: {error.strerror or error}")) from error


def _require_table_alone(ctx: click.Context) -> None:
    """Return where --table was given without anything that has no effect beside it.

    Raises:
        click.UsageError: photos were named, or an option that is about measuring them.
    """
    given = [
        param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        for param in ctx.command.params
        if param.name not in _WITH_TABLE and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            "--table only prints the thresholds by the curve in use and measures no photos: leave out"
            f" {', '.join(given)}, or leave out --table"
        )


def _print_thresholds(models: ModelSet) -> None:
    if not models.embedder.fmr_curve:
        raise CannotRun("the embedder has no curve; measure one on photos: picturematch calibrate PATH")
    for line in table_lines(models.embedder):
        click.echo(line)
    click.echo(f"* extrapolated: the curve ends at a false match rate of {models.embedder.fmr_curve[-1].fmr:g}")


def _measure(
    path: Path, models: ModelSet, face: FaceChoice, settings: Settings, threads: int | None, verbose: bool
) -> _Measured:
    entries = list(find_entries(path))
    where, whose, vectors = [], [], []
    lost: Counter[str] = Counter()
    several_faces = 0
    total = sum(isinstance(entry, Entry) and entry.photo is not None for entry in entries)
    with progress("measuring photos", total) as steps:

        def lose(name: str, reason: str, kind: str) -> None:
            lost[kind] += 1
            if verbose:
                steps.print_line(f"{name}: {reason}", problem=True)

        photos = []
        for entry in entries:
            if isinstance(entry, Entry) and entry.photo is not None:
                photos.append((entry, entry.photo))
            else:
                lose(entry.where, entry.reason if isinstance(entry, Unusable) else "has no photo", "not usable")
        if not photos:
            raise CannotRun(f"{path} contains no photo of a person")
        looks = measure_photos([photo for _, photo in photos], models, face, settings.pictures.max_pixels, threads)
        for (entry, _), look in zip(photos, looks, strict=True):
            steps.step()
            if isinstance(look, Unmeasured):
                lose(entry.where, look.reason, _kind(look))
                continue
            several_faces += look.faces > 1
            where.append(entry.where)
            whose.append(entry.identity_id)
            vectors.append(look.embedding.vector)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(whose))}
    if len(numbers) < 2:
        raise CannotRun(f"{path} shows the faces of {len(numbers) or 'no'} person; several people are needed")
    rows = np.array([numbers[name] for name in whose], np.int64)
    return _Measured(where, rows, len(numbers), np.stack(vectors), lost, several_faces, face)


def _kind(photo: Unmeasured) -> str:
    if photo.several_faces:
        return "with several faces"
    return "without a face" if photo.no_face else "not usable"


def _compare(measured: _Measured) -> AllPairs:
    with progress("comparing", len(measured.where)) as steps:

        def rows_done(rows: int) -> None:
            for _ in range(rows):
                steps.step()

        return score_all_pairs(measured.vectors, measured.whose, suspects=_SUSPECTS, block_done=rows_done)


def _reference(settings: Settings, models: ModelSet) -> Sequence[FmrPoint]:
    # The curve that comes with the embedder, not one measured before: repeated extrapolation would drift.
    if settings.models.stand_in is not None:
        return models.embedder.fmr_curve
    return store_of(settings).manifest.network("embedder").fmr_curve


def _print_table(found: Calibration, measured: _Measured, sizes: Sequence[int]) -> None:
    scores = found.scores
    click.echo(
        f"{counted(len(measured.where), 'photo')} of {measured.people} people: "
        f"{counted(len(scores.genuine), 'pair')} of one person, {scores.impostor_count} of different people"
    )
    if measured.lost:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(measured.lost.items()))
        click.echo(f"left out: {kinds} (--verbose names each)")
    if measured.several_faces:
        click.echo(f"several faces: {counted(measured.several_faces, 'photo')}; {_COUNTS[measured.face]}")
    rows = found.rows()
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("FMR", "threshold", "FNMR", *(f"FPIR among {size}" for size in sizes), ""):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        table.add_row(
            f"{row.fmr:.0e}",
            f"{row.threshold:.3f}",
            _share(row.fnmr),
            *(_share(identification_fpir(row.fmr, size)) for size in sizes),
            "" if row.measured else "extrapolated: not measured",
        )
    Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH).print(table)


def _print_searches(found: Calibration, sizes: Sequence[int], settings: Settings, models: ModelSet) -> None:
    policy = settings.matching
    for size in sizes:
        now = search_threshold(policy, models.embedder, size)
        new = found.search_threshold(policy, models.embedder, size)
        click.echo(
            f"a search among {counted(size, 'face')}: threshold {new:.3f} by this curve (matching.target_fpir "
            f"{policy.target_fpir:g}), missing {_share(found.fnmr(new))} of true matches; now {now.cosine:.3f} "
            f"({_REASONS[now.rule]}), missing {_share(found.fnmr(now.cosine))}"
        )


def _print_suspects(pairs: AllPairs, wrong: WrongLabels, measured: _Measured, *, name: bool, left_out: bool) -> None:
    advice = "they are left out" if left_out else "check with --suspects, or measure with --leave-out-suspects"
    if wrong.different_from is not None:
        count = pairs.scores.false_matches(wrong.different_from)
        click.echo(
            f"picturematch: {wrong.different_from:.3f} or more is the score of {counted(count, 'pair')} of different "
            f"people, and chance explains {count - wrong.surplus}: is a person here under two names? {wrong.surplus} "
            f"likely wrong; {advice}",
            err=True,
        )
    if wrong.low:
        click.echo(
            f"picturematch: {counted(wrong.low, 'pair')} of one person below {wrong.same_below:.3f}, less alike than "
            f"one in ten pairs of strangers: are these one person? {advice}",
            err=True,
        )
    if not name:
        return
    click.echo("the most similar photos of different people:")
    for pair in pairs.suspects:
        click.echo(printable(f"  {pair.score:.3f}  {measured.where[pair.first]}  {measured.where[pair.second]}"))
    if wrong.low:
        click.echo("the least similar photos of one person:")
    for row in np.argsort(pairs.genuine_scores, kind="stable")[: min(wrong.low, _SUSPECTS)]:
        first, second = pairs.genuine_pairs[row]
        click.echo(printable(f"  {pairs.genuine_scores[row]:.3f}  {measured.where[first]}  {measured.where[second]}"))


def _too_few(found: Calibration) -> str:
    if found.scores.impostor_count >= LEAST_PAIRS:
        return "too many scores of different people are equal; see --suspects, and remove photos that occur twice"
    return (
        f"{found.scores.impostor_count} pairs of different people are too few, {LEAST_PAIRS} are needed; "
        "150 people with one photo each suffice"
    )


def _measured_on(found: Calibration, measured: _Measured, pairs: AllPairs) -> str:
    left_out = pairs.scores.impostor_count - found.scores.impostor_count
    without = f" without {left_out} with likely wrong labels" if left_out else ""
    unmeasurable = found.unmeasurable()
    extrapolated = f"; extrapolated from {unmeasurable[0]:.0e} on" if unmeasurable else ""
    return (
        f"{len(measured.where)} photos of {measured.people} people of the operator, {found.scores.impostor_count} pairs"
        f" of different people{without}, {datetime.now(UTC).date()}{extrapolated}"
    )


def _hand_over(fragment: str, manifest: Path | None, settings: Settings) -> None:
    if manifest is None:
        click.echo("\nfor the manifest (setting models.manifest):\n")
        click.echo(fragment, nl=False)
        return
    write_fragment(manifest, fragment)
    click.echo(f"wrote {manifest}; {_effect(manifest, settings.models.manifest)}")


def _effect(written: Path, in_force: Path | None) -> str:
    if in_force is not None and in_force.resolve() == written.resolve():
        return "the curve is used from the next start on"
    if in_force is None:
        return "the curve is used when the setting models.manifest names this file"
    return f"the curve is not used: the setting models.manifest names {in_force}; add the curve there"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"

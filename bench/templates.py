"""What several photos of a person bring: `python -m bench.templates [PATH]`, on labelled photos, with the networks.

Printed is the open set 1:N with one, two and three enrolled photos of each person under each rule: the nearest face,
the mean of the faces, and the nearest of both, which is what a search compares. For each rule there are the FNIR at a
given FPIR, and what the shipped threshold gives for a target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import click
import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.face_sets import BadSet, photos_of_people
from bench.seen_set import SeenSet, cache_key, keep_set, load_set, see_set
from contract.vectors import Vector, Vectors
from engine.evaluation.openset import NEVER, OpenSetAt, OpenSetPoint, at_fpir, at_threshold, rank_one_misses
from engine.evaluation.photos import FaceChoice
from engine.evaluation.scores import Scores
from engine.gallery.templates import mean_of
from engine.policy import Policy
from engine.threshold import Calibrated, search_threshold
from engine.vision.ports import ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

DEFAULT_SET = Path("../shared/data/lfw-dev")
MOST_PHOTOS = 3
TARGETS = (1e-2, 3e-3)

Rule = Literal["faces", "mean", "both"]
RULES: Mapping[Rule, str] = {"faces": "nearest face", "mean": "mean alone", "both": "faces and mean (ships)"}


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Rows of the vectors: `enrolled`, people x `MOST_PHOTOS`; `probes`, one further photo of each of these people;
    `strangers`, all photos of everybody else."""

    enrolled: NDArray[np.intp]
    probes: NDArray[np.intp]
    strangers: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class AtTarget:
    """At a target: the FNIR where the FPIR is the target, and both rates at the threshold that ships for the target."""

    target: float
    exact: OpenSetPoint
    shipped: OpenSetAt


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """The figures of one rule with so many photos of each person; `templates`: how many a search compares.

    `not_first`: the share of searches in which the enrolled person was not ranked first, whatever the threshold.
    """

    photos: int
    rule: Rule
    templates: int
    not_first: float
    at: tuple[AtTarget, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All figures, and what they were taken from."""

    folder: str
    face: FaceChoice
    people: int
    strangers: int
    draws: int
    figures: tuple[RuleFigures, ...]


def draw(rows_of: Mapping[str, Sequence[int]], seed: int) -> Draw:
    """Return a draw: whoever has more than `MOST_PHOTOS` photos is enrolled, with photos drawn with that seed.

    Raises:
        BadSet: nobody could be enrolled, or nobody would be a stranger.
    """
    chance = np.random.default_rng(seed)
    enrolled = [who for who in sorted(rows_of) if len(rows_of[who]) > MOST_PHOTOS]
    strangers = [row for who, rows in rows_of.items() if len(rows) <= MOST_PHOTOS for row in rows]
    if not enrolled or not strangers:
        raise BadSet(f"people with more than {MOST_PHOTOS} photos are needed, and others who are strangers")
    drawn = np.array([chance.permutation(rows_of[who])[: MOST_PHOTOS + 1] for who in enrolled], np.intp)
    return Draw(drawn[:, :MOST_PHOTOS], drawn[:, MOST_PHOTOS], np.array(sorted(strangers), np.intp))


def templates_of(faces: Vectors, rule: Rule) -> Vectors:
    """Return what a search compares of one person; `faces`: the embeddings of the person's photos."""
    mean = mean_of(list(faces)) if len(faces) > 1 and rule != "faces" else None
    if mean is None:
        return faces
    return mean[np.newaxis] if rule == "mean" else np.concatenate([faces, mean[np.newaxis]])


def searched(vectors: Vector, drawn: Draw, photos: int, rule: Rule) -> tuple[Scores, int]:
    """Return the scores of the searches of a draw (engine.evaluation.openset.search), and the templates compared."""
    templates = [templates_of(vectors[rows[:photos]], rule) for rows in drawn.enrolled]
    gallery, begins = np.concatenate(templates), np.cumsum([0, *map(len, templates[:-1])])

    def of_people(probes: NDArray[np.intp]) -> Vector:
        nearest: Vector = np.maximum.reduceat(vectors[probes] @ gallery.T, begins, axis=1)
        return nearest

    scores = of_people(drawn.probes)
    mates = np.diagonal(scores)
    genuine = np.where(mates >= scores.max(axis=1), mates, NEVER).astype(np.float32)
    strangers = of_people(drawn.strangers).max(axis=1)
    return Scores(np.sort(genuine), np.sort(strangers), len(strangers)), len(gallery)


def measure(vectors: Vector, draws: Sequence[Draw], embedder: Calibrated) -> tuple[RuleFigures, ...]:
    """Return the figures of every rule, with one to `MOST_PHOTOS` photos of each person."""
    wanted: list[tuple[int, Rule]] = [(1, "faces")]
    wanted += [(photos, rule) for photos in range(2, MOST_PHOTOS + 1) for rule in RULES]
    return tuple(_figures(vectors, draws, photos, rule, embedder) for photos, rule in wanted)


def _figures(vectors: Vector, draws: Sequence[Draw], photos: int, rule: Rule, embedder: Calibrated) -> RuleFigures:
    searches = [searched(vectors, drawn, photos, rule) for drawn in draws]
    scores, templates = [found for found, _ in searches], max(count for _, count in searches)
    at = [
        AtTarget(
            target,
            at_fpir(scores, target),
            at_threshold(scores, search_threshold(Policy(target_fpir=target), embedder, templates).cosine),
        )
        for target in TARGETS
    ]
    return RuleFigures(photos, rule, templates, rank_one_misses(scores), tuple(at))


@click.command(
    epilog="""\b
Examples:
  python -m bench.templates
  python -m bench.templates people --face largest --json figures.json"""
)
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--face",
    type=click.Choice(get_args(FaceChoice)),
    default="centred",
    show_default=True,
    help="Which of several faces a photo's label means; a match takes the largest.",
)
@click.option("--draws", type=click.IntRange(1, 1000), default=40, show_default=True, help="How often photos are drawn.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
@click.option("--cache", type=click.Path(dir_okay=False, path_type=Path), help="Keep the vectors here, and reuse them.")
@click.option("--threads", type=click.IntRange(1, 64), help="Photos at a time.  [default: one per core]")
@click.pass_context
def main(
    ctx: click.Context,
    path: Path | None,
    face: FaceChoice,
    draws: int,
    json_file: Path | None,
    cache: Path | None,
    threads: int | None,
) -> None:
    """What several photos of a person bring, on the photos of PATH, a folder with a folder per person.

    Everybody with four or more photos is enrolled with up to three of them and searched for with another; everybody
    else is a stranger. Default: ../shared/data/lfw-dev.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"skipped: {DEFAULT_SET} is not here; give a folder of people")
        return
    folder = path or DEFAULT_SET
    try:
        people = photos_of_people(folder)
        models = open_models(settings_of(ctx))
        seen = _see(sorted(people), models, face, cache, threads)
        rows_of: dict[str, list[int]] = {}
        for photo, row in seen.rows.items():
            rows_of.setdefault(people[photo], []).append(row)
        drawn = [draw(rows_of, seed) for seed in range(draws)]
        figures = measure(seen.vectors, drawn, models.embedder)
        report = Report(str(folder), face, len(drawn[0].probes), len(drawn[0].strangers), draws, figures)
        _print(report, Console(width=120))
        if json_file is not None:
            json_file.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    except (BadSet, ModelError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename or ''}: {error.strerror or error}") from error


def _see(photos: list[Path], models: ModelSet, face: FaceChoice, cache: Path | None, threads: int | None) -> SeenSet:
    key = "" if cache is None else cache_key(models, face, photos)
    kept = None if cache is None else load_set(cache, key)
    if kept is not None:
        return kept
    with progress("seeing photos", len(photos)) as steps:
        seen = see_set(photos, models, face, steps.step, lambda line: steps.print_line(line, problem=True), threads)
    if cache is not None:
        keep_set(cache, key, seen)
    return seen


def _print(report: Report, console: Console) -> None:
    which = "nearest the middle" if report.face == "centred" else "largest"
    console.print(
        f"{report.folder}: {report.people} people enrolled, a search for each with another photo, {report.strangers} "
        f"photos of strangers, {report.draws} draws; of several faces the {which} counts.",
        highlight=False,
    )
    for place, target in enumerate(TARGETS):
        table = Table(title=f"FPIR {target:g}", title_justify="left")
        columns = ("templates", "threshold", "FNIR", "deviation", "shipped threshold", "FPIR", "FNIR", "not first")
        for column in ("photos, rule", *columns):
            table.add_column(column, justify="left" if column == "photos, rule" else "right")
        for found in report.figures:
            at = found.at[place]
            table.add_row(
                "one photo" if found.photos == 1 else f"{found.photos}, {RULES[found.rule]}",
                str(found.templates),
                f"{at.exact.threshold:.3f}",
                f"{100 * at.exact.fnir:.2f} %",
                f"{100 * at.exact.fnir_deviation:.2f}",
                f"{at.shipped.threshold:.3f}",
                f"{100 * at.shipped.fpir:.2f} %",
                f"{100 * at.shipped.fnir:.2f} %",
                f"{100 * found.not_first:.2f} %",
            )
        console.print()
        console.print(table)


if __name__ == "__main__":
    main()

"""What several photos of a person bring: `python -m bench.templates [PATH]`, on labelled photos, with the networks.

Printed is the open set 1:N with one, two and three enrolled photos of each person under each rule: the nearest face,
the mean of the faces, and the nearest of both, which is what a search compares. For each rule there are the FNIR at a
given FPIR, and what the shipped threshold gives for a target.
"""

from pathlib import Path
from typing import get_args

import click
import orjson
from rich.console import Console
from rich.table import Table

from bench.face_sets import BadSet, photos_of_people
from bench.seen_set import SeenSet, cache_key, keep_set, load_set, see_set
from bench.template_figures import RULES, TARGETS, Promise, Report, draw, measure, promises
from engine.evaluation.photos import FaceChoice
from engine.vision.ports import ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

DEFAULT_SET = Path("../shared/data/lfw-dev")


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
    default="chosen",
    show_default=True,
    help="Which of several faces of a photo counts; a match takes the chosen one.",
)
@click.option(
    "--draws", type=click.IntRange(1, 1000), default=40, show_default=True, help="How often photos are drawn."
)
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
        kept = promises(seen.vectors, rows_of, draws, models.embedder)
        report = Report(str(folder), face, len(drawn[0].probes), len(drawn[0].strangers), draws, figures, kept)
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
    which = {"centred": "one nearest the middle", "chosen": "one that a match chooses"}.get(report.face, report.face)
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
    _print_promises(report.promises, console)


def _print_promises(found: tuple[Promise, ...], console: Console) -> None:
    title = "FPIR as a share of the target, with faces and means compared"
    table = Table(title=title, title_justify="left")
    for column in (
        "photos",
        "people",
        *(f"{target:g}, {way}" for way in ("ships", "faces alone") for target in TARGETS),
    ):
        table.add_column(column, justify="right")
    for promise in found:
        rates = (*promise.kept, *promise.faces_alone)
        table.add_row(str(promise.photos), str(promise.people), *(f"{rate:.2f}" for rate in rates))
    console.print()
    console.print(table)
    console.print(
        "ships: the threshold follows from the number of faces and means; faces alone: from that of the faces.",
        highlight=False,
    )


if __name__ == "__main__":
    main()

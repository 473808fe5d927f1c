"""How well the engine recognises: `python -m bench.accuracy [PATH]`, on labelled photos, with the installed networks.

Every photo is seen once by the real pipeline. Printed are 1:1 accuracy over folds, EER and TAR at FAR; the rates of all
pairs of the folder, with likely wrong labels listed; the open set 1:N, and what the shipped threshold keeps in groups
of several sizes; and the error-versus-reject curves of the quality score and of its parts.
"""

from pathlib import Path

import click
import orjson
from rich.console import Console

from bench.accuracy_figures import Source, measure
from bench.accuracy_print import print_report
from bench.face_sets import BadSet, Pair, draw_pairs, photos_of_people, read_pairs
from bench.plots import NoPlots, draw_plots, require_matplotlib
from bench.seen_set import SeenSet, cache_key, keep_set, load_set, see_set
from engine.evaluation.photos import FaceChoice
from engine.vision.ports import ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

DEFAULT_SET = Path("../shared/data/lfw-dev")
PAIRS_FILES = ("pairs.csv", "pairs.txt")


@click.command(
    epilog="""\b
Examples:
  python -m bench.accuracy
  python -m bench.accuracy lfw --pairs pairs.txt --json figures.json --plots plots"""
)
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--pairs", "pairs_file", type=click.Path(path_type=Path), help="Pairs file, its photos below PATH.")
@click.option(
    "--face",
    type=click.Choice(["chosen", "largest", "centred"]),
    default="chosen",
    show_default=True,
    help="Which face counts: that of a match, the largest, or the most central, which LFW's labels mean.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Write plots (PNG) into this folder.")
@click.option("--cache", type=click.Path(dir_okay=False, path_type=Path), help="Keep the vectors here, and reuse them.")
@click.option("--threads", type=click.IntRange(1, 64), help="Photos at a time.  [default: one per core]")
@click.option("--verbose", is_flag=True, help="Name the photos that gave no vector.")
@click.pass_context
def main(
    ctx: click.Context,
    path: Path | None,
    pairs_file: Path | None,
    face: FaceChoice,
    json_file: Path | None,
    plots: Path | None,
    cache: Path | None,
    threads: int | None,
    verbose: bool,
) -> None:
    """Figures of recognition on the photos of PATH.

    PATH is a folder with a folder per person, or a pairs file beside such folders (CSV, or LFW's pairs.txt); a folder's
    own pairs.csv or pairs.txt is used. Without any, pairs are drawn from the folder. Default: ../shared/data/lfw-dev.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"skipped: {DEFAULT_SET} is not here; give a folder of people or a pairs file")
        return
    try:
        if plots is not None:
            require_matplotlib()
        folder, pairs_file, people, pairs = _read(path or DEFAULT_SET, pairs_file)
        models = open_models(settings_of(ctx))
        seen = _see(sorted({*people, *_named(pairs)}), models, face, cache, threads, verbose)
        source = "drawn from the folder, ten folds that share nobody" if pairs_file is None else str(pairs_file)
        report, scored = measure(
            Source(str(folder), source, face, dict(models.identities)), people, pairs, seen, models
        )
        print_report(report, Console(width=120))
        if json_file is not None:
            json_file.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
        if plots is not None:
            drawn = draw_plots(plots, scored, report.rejection)
            for path in drawn.written:
                click.echo(f"wrote {path}")
            for name, why in drawn.left_out.items():
                click.echo(f"{name} is not drawn: {why}")
    except (BadSet, NoPlots, ModelError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename or ''}: {error.strerror or error}") from error


def _read(path: Path, pairs_file: Path | None) -> tuple[Path, Path | None, dict[Path, str], list[Pair]]:
    folder = path
    if path.is_file() and pairs_file is None:
        folder, pairs_file = path.parent, path
    people = photos_of_people(folder)
    if pairs_file is None:
        pairs_file = next((folder / name for name in PAIRS_FILES if (folder / name).is_file()), None)
    return folder, pairs_file, people, draw_pairs(people) if pairs_file is None else read_pairs(pairs_file, folder)


def _named(pairs: list[Pair]) -> set[Path]:
    return {path for pair in pairs for path in (pair.first, pair.second)}


def _see(
    photos: list[Path], models: ModelSet, face: FaceChoice, cache: Path | None, threads: int | None, verbose: bool
) -> SeenSet:
    key = "" if cache is None else cache_key(models, face, photos)
    kept = None if cache is None else load_set(cache, key)
    if kept is not None:
        click.echo(f"vectors and qualities are those kept in {cache}, as the code was then", err=True)
        return kept
    with progress("seeing photos", len(photos)) as steps:

        def trouble(line: str) -> None:
            if verbose:
                steps.print_line(line, problem=True)

        seen = see_set(photos, models, face, steps.step, trouble, threads)
    if cache is not None:
        keep_set(cache, key, seen)
    return seen


if __name__ == "__main__":
    main()

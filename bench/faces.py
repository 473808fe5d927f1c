"""Which of several faces a match should take: `python -m bench.faces [PATH]`, on a folder with a folder per person.

Printed are, for each rule, in how many photos it takes another face than the person's, also where the picture's middle
is moved so that the person is not in it, and the open set 1:N with the faces that it takes; how often a second face is
as near, what the search for it changes where two people stand side by side, and what it costs.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.accuracy import DEFAULT_SET
from bench.face_rules import MAX_PIXELS, SHIFTS, SeenPhoto, figures_of, owners, rules, see, shipped, two_people
from bench.face_sets import BadSet, photos_of_people
from engine.context import Context
from engine.look import Wanted, look
from engine.policy import Policy
from engine.vision.ports import ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models


@click.command(epilog="\b\nExample:\n  python -m bench.faces lfw")
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.pass_context
def main(ctx: click.Context, path: Path | None) -> None:
    """Figures of the rules that choose a face, on the photos of PATH, a folder with a folder per person.

    Default: ../shared/data/lfw-dev.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"skipped: {DEFAULT_SET} is not here; give a folder of people")
        return
    try:
        people, models = photos_of_people(path or DEFAULT_SET), open_models(settings_of(ctx))
    except (BadSet, ModelError) as error:
        raise UserError(str(error)) from error
    photos = _see(people, models)
    console = Console(width=150)
    _print_rules(console, photos)
    _print_rivals(console, photos, models)
    _print_cost(console, sorted(people), models)


def _see(people: Mapping[Path, str], models: ModelSet) -> Sequence[SeenPhoto]:
    photos = []
    with progress("seeing photos", len(people)) as steps:
        for path, person in sorted(people.items()):
            photo = see(path, person, models)
            if photo is not None:
                photos.append(photo)
            steps.step()
    return photos


def _print_rules(console: Console, photos: Sequence[SeenPhoto]) -> None:
    truth, several = owners(photos), sum(len(photo.faces) > 1 for photo in photos)
    console.print(f"{len(photos)} photos with faces, {several} of them with several")
    console.print(
        "wrong: photos in which another face than the person's is taken, with the middle moved by these widths"
    )
    table = Table("rule", *(f"{shift:+.0%}" for shift in SHIFTS), "FNIR at FPIR 1e-2", "at 3e-3")
    for name, pick in rules().items():
        figures = figures_of(pick, photos, truth)
        table.add_row(name, *map(str, figures.wrong), *(f"{100 * fnir:.2f} %" for fnir in figures.fnir))
    console.print(table)


def _print_rivals(console: Console, photos: Sequence[SeenPhoto], models: ModelSet) -> None:
    rivals = sum(shipped(photo).rival is not None for photo in photos)
    console.print(f"a rival was searched for in {rivals} photos, {100 * rivals / len(photos):.2f} %")
    found = two_people(photos, owners(photos), models.embedder)
    console.print(
        f"two people side by side, at the threshold {found.threshold:.3f}: {100 * found.with_rival:.0f} % of these"
        f" pictures have a rival; FPIR of a stranger alone {100 * found.fpir_of_one:.2f} %"
    )
    table = Table("face", "FNIR, one of them enrolled", "FPIR, neither enrolled")
    names = ("the largest", "the chosen one", "the chosen one and its rival (ships)")
    for name, fnir, fpir in zip(names, found.fnir, found.fpir, strict=True):
        table.add_row(name, f"{100 * fnir:.2f} %", f"{100 * fpir:.2f} %")
    console.print(table)


def _print_cost(console: Console, photos: Sequence[Path], models: ModelSet) -> None:
    """Print the processor time of a look with the largest face, and with the chosen one and its rival, in turns."""
    context = Context(models, Policy(), MAX_PIXELS, time.perf_counter)
    wanted = (Wanted(face="largest"), Wanted(face="chosen", beside="rival"))
    spent, with_rival = np.zeros(2), np.zeros(2)
    for number, path in enumerate(photos):
        picture, each, beside = path.read_bytes(), np.zeros(2), 0
        for way in (0, 1) if number % 2 else (1, 0):
            begin_s = time.process_time()
            beside += len(look(picture, wanted[way], context).beside)
            each[way] = time.process_time() - begin_s
        spent += each
        with_rival += each if beside else 0
    more = 100 * (spent[1] / spent[0] - 1)
    console.print(
        f"processor time of a look: {1000 * spent[0] / len(photos):.2f} ms with the largest face; {more:+.2f} %"
    )
    if with_rival[0]:
        more = 100 * (with_rival[1] / with_rival[0] - 1)
        console.print(f"in the photos with a rival: {more:+.0f} %")


if __name__ == "__main__":
    main()

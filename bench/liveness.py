"""How well liveness tells live faces from attacks: `python -m bench.liveness [SET]`, with the installed networks.

Reports APCER per kind of attack and BPCER (ISO/IEC 30107-3) with 95 % intervals, faces not found counted apart, and how
many each check failed.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from bench.face_sets import BadSet
from bench.liveness_figures import Tally, in_order, judge
from bench.liveness_set import LIVE, Case, labelled, labelled_case, made_from, photos_of
from contract.errors import PictureRefused
from engine.policy import Policy
from engine.vision.ports import ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

_SPOOF = {"image_F1.jpg": "recaptured", "image_F2.jpg": "recaptured", "image_T1.jpg": LIVE}


@click.command(
    epilog="""\b
Examples:
  python -m bench.liveness labelled --json liveness.json
  python -m bench.liveness --live photos
  python -m bench.liveness --shared ../shared/data

\b
A labelled set is a folder with live/ and a folder per kind of attack (NAME.ir.jpg is the
infrared picture beside NAME.jpg), or a CSV file whose first line is file,label[,ir]."""
)
@config_option
@click.argument("labelled_set", metavar="[SET]", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--live",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Live photos; attacks are made of them.",
)
@click.option(
    "--shared", type=click.Path(file_okay=False, path_type=Path), help="Folder with photos/, lfw-dev/ and spoof/."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
@click.pass_context
def main(
    ctx: click.Context, labelled_set: Path | None, live: Path | None, shared: Path | None, json_file: Path | None
) -> None:
    """Error rates of liveness on labelled pictures, or on attacks made from live photos."""
    if not (labelled_set or live or shared):
        raise UserError("nothing to measure on: give a labelled set, or --live with a folder of live photos")
    try:
        sets: list[tuple[str, list[Case]]] = []
        if labelled_set:
            sets.append((str(labelled_set), labelled(labelled_set)))
        if live:
            sets.append((f"{live}, and attacks made of it", made_from(photos_of(live))))
        if shared:
            sets += _shared(shared)
        settings = settings_of(ctx)
        models = open_models(settings)
        figures = {}
        for name, cases in sets:
            tallies = _measure(name, cases, models, settings.matching)
            _print(name, tallies)
            figures[name] = [tally.as_dict() for tally in tallies]
        if json_file is not None:
            told = {"networks": dict(models.identities), "sets": figures}
            json_file.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    except (BadSet, ModelError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename or ''}: {error.strerror or error}") from error


def _shared(folder: Path) -> list[tuple[str, list[Case]]]:
    sets: list[tuple[str, list[Case]]] = []
    for name, attacks in (("photos", True), ("lfw-dev", False)):
        if (folder / name).is_dir():
            what = ", and attacks made of it" if attacks else " (small, recompressed; live only)"
            sets.append((f"{folder / name}{what}", made_from(photos_of(folder / name), attacks=attacks)))
        else:
            click.echo(f"skipped: {folder / name} is not here", err=True)
    if (folder / "spoof").is_dir():
        sets.append((f"{folder / 'spoof'} (three pictures: no rate)", _spoof(folder / "spoof")))
    else:
        click.echo(f"skipped: {folder / 'spoof'} is not here", err=True)
    return sets


def _spoof(folder: Path) -> list[Case]:
    found = [(label, folder / name) for name, label in _SPOOF.items() if (folder / name).is_file()]
    return [labelled_case(label, path) for label, path in found]


def _measure(name: str, cases: Sequence[Case], models: ModelSet, policy: Policy) -> list[Tally]:
    tallies: dict[tuple[str, str], Tally] = {}
    with progress(f"judging {Path(name).name}", len(cases)) as steps:
        for case in cases:
            try:
                for look in case.looks(models):
                    mode = "liveness_rgb" if look.infrared is None else "liveness_rgb_ir"
                    tally = tallies.setdefault((look.label, mode), Tally(look.label, mode))
                    tally.add(judge(look, models, policy))
            except PictureRefused as refused:
                steps.print_line(f"{case.name}: left out: {refused.message}", problem=True)
            steps.step()
    return in_order(tallies.values())


def _print(name: str, tallies: Sequence[Tally]) -> None:
    table = Table(title=name)
    for column in ("mode", "label", "n", "no face", "wrong", "rate", "95 %", "checks failed"):
        table.add_column(column, justify="left" if column in ("mode", "label", "checks failed") else "right")
    for tally in tallies:
        interval = tally.interval
        table.add_row(
            tally.mode.removeprefix("liveness_"),
            tally.label,
            str(tally.judged),
            str(tally.without_face),
            str(tally.wrong),
            "-" if tally.rate is None else f"{'BPCER' if tally.is_live else 'APCER'} {tally.rate:.1%}",
            "-" if interval is None else f"{interval[0]:.1%}..{interval[1]:.1%}",
            ", ".join(f"{check} {count}" for check, count in tally.failed.most_common()),
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()

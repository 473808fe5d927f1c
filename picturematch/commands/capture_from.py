"""picturematch capture from-list, from-folders and from-pairs: make captures from pictures."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import click

from capture.files import require_empty
from capture.making.csv_list import read_list
from capture.making.folders import STRANGERS, PeopleFolders, photos_at
from capture.making.gallery import GalleryMaker
from capture.making.make import Made, Maker
from capture.making.pairs import PairsList
from capture.making.values import LeftOut, MadeRequest, Photo
from engine.context import Context
from picturematch.captures import sentences
from picturematch.options import config_option, settings_of
from picturematch.shell import Steps, counted, ended_by_signals, print_line, progress
from picturematch.wiring import open_models

_out = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new or empty folder."
)
_pictures = click.Path(file_okay=False, exists=True, path_type=Path)
_threads = click.option(
    "--threads", type=click.IntRange(1, 64), show_default="one per core", help="Photos that are enrolled at a time."
)


@click.command(
    "from-list",
    epilog="""\b
Examples:
  picturematch capture from-list list.csv --pictures photos --out expected
  picturematch capture from-list list.csv --gallery people --out expected""",
)
@config_option
@click.argument("list_file", metavar="CSV", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option(
    "--pictures",
    type=_pictures,
    show_default="the folder of the list",
    help="Folder to which the paths of the list are relative.",
)
@click.option(
    "--gallery",
    type=click.Path(exists=True, path_type=Path),
    help="Photos of the people of the capture: a folder or a list, as for `picturematch enrol`.",
)
@_out
@_threads
@click.pass_context
def from_list(
    ctx: click.Context, list_file: Path, pictures: Path | None, gallery: Path | None, out: Path, threads: int | None
) -> None:
    """Make a capture from a CSV list of pictures and of the person expected in each.

    The first line of the list names its columns: path and device_ip; and, where wanted, compare_time,
    expected_identity_id (`-`: a stranger is expected), ir_path, group_name, permission_name and liveness_mode. Every
    picture is checked before anything is written.

    Without --gallery the capture has no people, and can only be posted to a server that knows them.

    Exit status: 0 the capture is made, 1 photos of the gallery were left out (standard error names them), 2 the command
    failed.
    """
    root = pictures or list_file.parent
    with sentences():
        require_empty(out)
        count = _count(read_list(list_file, root)) + (0 if gallery is None else _count(photos_at(gallery)))
    _finish(ctx, out, None if gallery is None else photos_at(gallery), read_list(list_file, root), count, threads)


@click.command(
    "from-folders",
    epilog="""\b
Examples:
  picturematch capture from-folders photos --out album
  picturematch capture from-folders photos --enrol 2 --strangers unknown --out album""",
)
@config_option
@click.argument("folder", type=_pictures)
@click.option(
    "--enrol",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="The number of each person's first photos that are enrolled. 0: the capture has no people.",
)
@click.option(
    "--strangers",
    default=STRANGERS,
    show_default=True,
    help="Name of the folder with photos of people to enrol nowhere.",
)
@click.option("--device", default="folders", show_default=True, help="device_ip of all requests.")
@_out
@_threads
@click.pass_context
def from_folders(
    ctx: click.Context, folder: Path, enrol: int, strangers: str, device: str, out: Path, threads: int | None
) -> None:
    """Make a capture from FOLDER, which has a folder of photos for each person.

    The name of a person's folder is the identity. The first photos of each person, by name, are enrolled; every other
    photo is a request that expects this person. The photos of strangers are requests that expect a stranger.

    Exit status: 0 the capture is made, 1 photos were left out (standard error names them), 2 the command failed.
    """
    people = PeopleFolders(folder, enrol, strangers, device)
    with sentences():
        require_empty(out)
        count = _count(photos_at(folder))
    _finish(ctx, out, people.gallery() if enrol else None, people.requests(), count, threads)


@click.command(
    "from-pairs",
    epilog="""\b
Examples:
  picturematch capture from-pairs lfw/pairs.txt --pictures lfw --out pairs""",
)
@config_option
@click.argument("list_file", metavar="PAIRS", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option(
    "--pictures",
    type=_pictures,
    show_default="the folder of the list",
    help="Folder of the pictures NAME/NAME_0001.jpg.",
)
@_out
@_threads
@click.pass_context
def from_pairs(ctx: click.Context, list_file: Path, pictures: Path | None, out: Path, threads: int | None) -> None:
    """Make a capture from a list of pairs in the format of LFW's pairs.txt.

    The first picture of each pair is enrolled, alone in a group of its own. The second is a request that searches this
    group: it expects this person where the pair is matched, and a stranger where it is mismatched. So the error rates
    of a replay are those of the pairs (1:1).

    Exit status: 0 the capture is made, 1 photos of the gallery were left out (standard error names them), 2 the command
    failed.
    """
    pairs = PairsList(list_file, pictures or list_file.parent)
    with sentences():
        require_empty(out)
        count = _count(pairs.requests()) + _count(pairs.gallery())
    _finish(ctx, out, pairs.gallery(), pairs.requests(), count, threads)


def _finish(
    ctx: click.Context,
    out: Path,
    gallery: Iterable[Photo | LeftOut] | None,
    requests: Iterable[MadeRequest | LeftOut],
    count: int,
    threads: int | None,
) -> None:
    """Make the capture and print what it has."""
    with sentences(), ended_by_signals(), progress("pictures", count) as steps:
        maker = None if gallery is None else _gallery_maker(ctx, threads)
        parts = None if gallery is None or maker is None else maker.parts(gallery)
        made = Maker(out, lambda left_out: _print_left_out(steps, left_out), steps.step).make(parts, requests)
    print_line(_described(made, out))
    ctx.exit(1 if made.left_out else 0)


def _count(values: Iterable[object]) -> int:
    return sum(1 for _ in values)


def _gallery_maker(ctx: click.Context, threads: int | None) -> GalleryMaker:
    settings = settings_of(ctx)
    context = Context(open_models(settings), settings.matching, settings.pictures.max_pixels, time.perf_counter)
    return GalleryMaker(context, threads or os.cpu_count() or 1)


def _print_left_out(steps: Steps, picture: LeftOut) -> None:
    steps.print_line(f"left out: {picture.where}: {picture.reason}", problem=True)


def _described(made: Made, out: Path) -> str:
    enrolled = f", {counted(made.enrolled, 'photo')} enrolled" if made.enrolled else ""
    left_out = f", {counted(made.left_out, 'picture')} left out" if made.left_out else ""
    return f"{counted(made.requests, 'request')} in {out}{enrolled}{left_out}"

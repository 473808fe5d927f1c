"""What a picture without a face costs, and which faces are found: `python -m bench.nobody [PATH]`.

Two detectors take turns on each picture: the one that ships, and the same with no spots and no evidence, which searches
every picture without a face at all resolutions, with a border and turned ("every search"). Printed are the processor
milliseconds of whole looks on one thread, with a face and without one, by size and by stage; and how many faces are
found, by size, turn, cut and light. A face that ships' detector finds has the box that every search gives it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Literal, get_args
from zlib import crc32

import click
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bench.accuracy import DEFAULT_SET
from bench.face_sets import BadSet, photos_of_people
from bench.nobody_set import PLACES, Condition, close_crop, fitted, make_place, parts_without_faces, put_face
from bench.scenes import scenes
from engine.context import Context
from engine.evaluation.scores import wilson
from engine.look import Wanted, look
from engine.policy import Policy
from engine.timing import StageTimer
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import decode
from engine.vision.finding import find_faces
from engine.vision.networks.centerface import CenterFace, DetectorPolicy
from engine.vision.ports import Box, Detector, Face, Image, ModelSet
from models.errors import ModelError
from picturematch.networks import install_missing
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

DEFAULT_PHOTOS = Path("../shared/data/photos")
SIZES = ((640, 480), (1280, 720), (1920, 1080), (4000, 3000))
MAX_PIXELS = 32_000_000
AIM = 2.0
"""The most that a picture without a face may cost, as a multiple of one with a face of the same size."""

_ORDINARY = 0.85
"""The confidence from which on the face of a photo is put into places."""

Half = Literal["first", "second", "both"]

_SMALL, _LARGE = (640, 480), (1280, 960)
_HEIGHTS = {_SMALL: (16, 20, 24, 32, 48), _LARGE: (20, 24, 28, 32, 40)}
_DEGREES = (30, 90, 120, 150, 180)
_CUTS = (0.2, 0.4, 0.5, 0.6)
_LIGHTS = (0.3, 0.15, 0.07)
_CROPS = (0.5, 0.6, 0.7, 0.9, 1.2)


@dataclass(slots=True)
class _Costs:
    """Processor milliseconds of looks at pictures of one kind: by stage, the whole under ""."""

    ships: list[Mapping[str, float]] = field(default_factory=list)
    every: list[Mapping[str, float]] = field(default_factory=list)

    def median_ms(self, stage: str, *, every: bool) -> float:
        return median(one.get(stage, 0.0) for one in (self.every if every else self.ships))

    def mean_ms(self, *, every: bool) -> float:
        return fmean(one[""] for one in (self.every if every else self.ships))


@dataclass(slots=True)
class _Found:
    """How many of `tried` faces each detector found; `lost` are found by every search only."""

    tried: int = 0
    ships: int = 0
    every: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Sets:
    """The pictures to measure on: photos with the box of their face, and parts of photos without faces."""

    people: Sequence[tuple[Image, Box]]
    parts: Sequence[Image]


@click.command(epilog="Example: python -m bench.nobody lfw --people 60 --half second")
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--photos",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_PHOTOS,
    show_default=True,
    help="Larger photos, whose parts without a face are places; left out where the folder is missing.",
)
@click.option("--people", default=40, show_default=True, help="People whose faces are put into places.")
@click.option("--rounds", default=3, show_default=True, help="Pictures of each size and place whose cost is measured.")
@click.option(
    "--half",
    type=click.Choice(get_args(Half)),
    default="both",
    show_default=True,
    help="The half of the people, in order of name, to measure on: the rules were chosen with the first.",
)
@click.option("--only", type=click.Choice(["cost", "faces"]), help="Measure only this.")
@click.pass_context
def main(
    ctx: click.Context, path: Path | None, photos: Path, people: int, rounds: int, half: Half, only: str | None
) -> None:
    """Cost of pictures without a face, and faces found, of the photos of PATH, a folder with a folder per person.

    Default: ../shared/data/lfw-dev; where that is missing, the sample portrait.
    """
    settings = settings_of(ctx)
    store = install_missing(settings, samples=True)
    portrait = decode(store.sample("astronaut.png").read_bytes(), MAX_PIXELS)
    try:
        models = open_models(settings)
        sets = _load(path, photos, people, half, portrait, models.detector)
    except (BadSet, ModelError) as error:
        raise UserError(str(error)) from error
    plain = CenterFace(store.open("detector"), store.manifest.network("detector"), DetectorPolicy(spots=0))

    def every(image: Image) -> Sequence[Face]:
        return plain(image)

    console = Console(width=140)
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        if only != "faces":
            _print_costs(console, _costs(models, every, portrait, sets.parts, rounds))
        if only != "cost":
            _print_found(console, _faces(models.detector, every, sets))


def _load(path: Path | None, photos: Path, people: int, half: Half, portrait: Image, detector: Detector) -> _Sets:
    """Return the sets; a person is of the first half whose name comes before that of half of the people.

    Raises:
        BadSet: the folder of people has no photos of people.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"{DEFAULT_SET} is not here: all faces are the sample portrait's", err=True)
        return _Sets([(portrait, detector(portrait)[0].box)] * people, _parts(photos, detector))
    first_photos: dict[str, Path] = {}
    for photo, person in photos_of_people(path or DEFAULT_SET).items():
        first_photos.setdefault(person, photo)
    names = sorted(first_photos)
    middle = len(names) // 2
    kept = {"first": names[:middle], "second": names[middle:], "both": names}[half]
    chosen = sorted((first_photos[name] for name in kept), key=lambda photo: crc32(photo.name.encode()))
    found: list[tuple[Image, Box]] = []
    for photo in chosen:
        if len(found) == people:
            break
        image = decode(photo.read_bytes(), MAX_PIXELS)
        faces = detector(image)
        if faces and faces[0].confidence >= _ORDINARY:
            found.append((image, faces[0].box))
    return _Sets(found, _parts(photos, detector))


def _parts(photos: Path, detector: Detector) -> list[Image]:
    parts: list[Image] = []
    for photo in sorted(photos.glob("*.jpg")):
        image = decode(photo.read_bytes(), MAX_PIXELS)
        parts += parts_without_faces(image, detector(image), detector)
    return parts


def _costs(
    models: ModelSet, every: Detector, portrait: Image, parts: Sequence[Image], rounds: int
) -> Mapping[tuple[tuple[int, int], str], _Costs]:
    """Return the costs by size and kind of picture: "a face", the made-up places, and "part of a photo"."""
    contexts = [
        Context(replace(models, detector=detector), Policy(), MAX_PIXELS, time.thread_time)
        for detector in (models.detector, every)
    ]
    face = models.detector(portrait)[0]
    costs: dict[tuple[tuple[int, int], str], _Costs] = {}
    kinds = 1 + len(PLACES) + bool(parts)
    with progress("costs", len(SIZES) * rounds * kinds) as steps:
        for size in SIZES:
            pictures = _pictures(portrait, face, parts, size, rounds)
            for number, (kind, jpeg) in enumerate(pictures):
                spent = costs.setdefault((size, kind), _Costs())
                for way in (0, 1) if number % 2 else (1, 0):
                    began = time.thread_time()
                    seen = look(jpeg, Wanted(), contexts[way])
                    stages = {**seen.timings_ms, "": 1000.0 * (time.thread_time() - began)}
                    (spent.every if way else spent.ships).append(stages)
                steps.step()
    return costs


def _pictures(
    portrait: Image, face: Face, parts: Sequence[Image], size: tuple[int, int], rounds: int
) -> Iterator[tuple[str, bytes]]:
    """Yield the kind of each picture of a size, and the picture as a JPEG."""
    chance = np.random.default_rng(size[0])
    for jpeg in scenes(portrait, face, *size, rounds):
        yield "a face", jpeg
        for place in PLACES:
            yield place, encode_jpeg(make_place(place, *size, chance))
        if parts:
            part = parts[int(chance.integers(len(parts)))]
            yield "part of a photo", encode_jpeg(fitted(part, *size, chance))


def _print_costs(console: Console, costs: Mapping[tuple[tuple[int, int], str], _Costs]) -> None:
    table = Table(title="processor ms of a look on one thread: ships / every search")
    for column in ("size", "picture", "decode", "detect", "whole look", "as a multiple of a look with a face"):
        table.add_column(column, justify="left" if column in ("size", "picture") else "right")
    for size in SIZES:
        with_face = costs[size, "a face"]
        bare = {kind: spent for (other, kind), spent in costs.items() if other == size and kind != "a face"}
        for kind, spent in {"a face": with_face, **bare}.items():
            cells = [_both(spent, stage) for stage in ("decode", "detect", "")]
            ratios = [
                spent.median_ms("", every=every) / with_face.median_ms("", every=every) for every in (False, True)
            ]
            table.add_row(f"{size[0]}x{size[1]}", kind, *cells, f"{ratios[0]:.2f} / {ratios[1]:.2f}")
        ratio = [
            fmean(spent.mean_ms(every=every) for spent in bare.values()) / with_face.mean_ms(every=every)
            for every in (False, True)
        ]
        table.add_row(
            f"{size[0]}x{size[1]}",
            f"mean without a face (aim: {AIM:g})",
            "",
            "",
            "",
            f"{ratio[0]:.2f} / {ratio[1]:.2f}",
            style="bold",
            end_section=True,
        )
    console.print(table)


def _both(spent: _Costs, stage: str) -> str:
    return f"{spent.median_ms(stage, every=False):.1f} / {spent.median_ms(stage, every=True):.1f}"


def conditions() -> Mapping[str, Sequence[Condition]]:
    """Return by heading the conditions in which faces are searched for."""
    return {
        f"upright, in {size[0]}x{size[1]}: height in pixels": [Condition(size, height) for height in heights]
        for size, heights in _HEIGHTS.items()
    } | {
        "48 pixels of 480, turned by degrees": [Condition(_SMALL, 48, degrees) for degrees in _DEGREES],
        "120 pixels of 480, turned by degrees": [Condition(_SMALL, 120, degrees) for degrees in _DEGREES],
        "240 pixels of 480, turned by degrees": [Condition(_SMALL, 240, degrees) for degrees in _DEGREES],
        "240 pixels of 960, turned by degrees": [Condition(_LARGE, 240, degrees) for degrees in _DEGREES],
        "60 pixels of 480, share cut off": [Condition(_SMALL, 60, cut=cut) for cut in _CUTS],
        "150 pixels of 480, share cut off": [Condition(_SMALL, 150, cut=cut) for cut in _CUTS],
        "32 pixels of 480, share of the light": [Condition(_SMALL, 32, light=light) for light in _LIGHTS],
        "150 pixels of 480, share of the light": [Condition(_SMALL, 150, light=light) for light in _LIGHTS],
    }


def _faces(detector: Detector, every: Detector, sets: _Sets) -> Mapping[tuple[str, str], _Found]:
    """Return by heading and condition how many faces are found."""
    found: dict[tuple[str, str], _Found] = {}
    groups = conditions()
    tried = sum(map(len, groups.values())) + 2 * len(_CROPS)
    with progress("faces", tried * len(sets.people)) as steps:
        for heading, listed in groups.items():
            for condition in listed:
                counted = found.setdefault((heading, _label(condition)), _Found())
                for number, (photo, box) in enumerate(sets.people):
                    chance = np.random.default_rng([number, condition.height, condition.degrees])
                    place = _place(sets.parts, number, condition.size, chance)
                    image, where = put_face(place, photo, box, condition, chance)
                    _count(counted, encode_jpeg(image), where, detector, every)
                    steps.step()
        for (_, height), share in product((_SMALL, _LARGE), _CROPS):
            heading = f"the face alone, in {height} rows: share of its box"
            counted = found.setdefault((heading, f"{share:.0%}"), _Found())
            for photo, box in sets.people:
                image = close_crop(photo, box, share, height)
                where = Box(0, 0, image.shape[1], image.shape[0])
                _count(counted, encode_jpeg(image), where, detector, every)
                steps.step()
    return found


def _label(condition: Condition) -> str:
    if condition.degrees:
        return str(condition.degrees)
    if condition.cut:
        return f"{condition.cut:.0%}"
    return str(condition.height) if condition.light == 1.0 else f"{condition.light:.0%}"


def _place(parts: Sequence[Image], number: int, size: tuple[int, int], chance: np.random.Generator) -> Image:
    if parts and number % 2:
        return fitted(parts[number // 2 % len(parts)], *size, chance)
    return make_place(PLACES[number // 2 % len(PLACES)], *size, chance)


def _count(counted: _Found, jpeg: bytes, where: Box, detector: Detector, every: Detector) -> None:
    ships = _is_found(jpeg, where, detector)
    all_ways = ships or _is_found(jpeg, where, every)  # what ships finds is what every search finds
    counted.tried += 1
    counted.ships += ships
    counted.every += all_ways
    counted.lost += all_ways and not ships


def _is_found(jpeg: bytes, where: Box, detector: Detector) -> bool:
    """Return whether a face has its middle in the box, in the picture as it lies or turned upright."""
    image, faces = find_faces(jpeg, detector, MAX_PIXELS, StageTimer(lambda: 0.0))
    for face in faces:
        x, y = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
        height, width = image.shape[:2]
        for _ in range(face.quarter_turns):  # each undoes a quarter turn counterclockwise
            x, y, width, height = height - y, x, height, width
        if where.x <= x <= where.x + where.width and where.y <= y <= where.y + where.height:
            return True
    return False


def _print_found(console: Console, found: Mapping[tuple[str, str], _Found]) -> None:
    table = Table(title="faces found, of all (95 % intervals by Wilson)")
    for column in ("", "", "ships", "every search", "lost"):
        table.add_column(column, justify="left" if not column else "right")
    last = ""
    for (heading, label), counted in found.items():
        cells = (_share(counted.ships, counted.tried), _share(counted.every, counted.tried))
        table.add_row(heading if heading != last else "", label, *cells, str(counted.lost))
        last = heading
    for name in dict.fromkeys(heading for heading, _ in found):
        of_name = [counted for (heading, _), counted in found.items() if heading == name]
        tried, ships, every = (sum(getattr(one, what) for one in of_name) for what in ("tried", "ships", "every"))
        table.add_row(name, "all", _share(ships, tried), _share(every, tried), str(sum(one.lost for one in of_name)))
    console.print(table)


def _share(found: int, tried: int) -> str:
    low, high = wilson(found, tried)
    return f"{found} of {tried} ({100 * low:.0f} to {100 * high:.0f} %)"


if __name__ == "__main__":
    main()

"""What liveness is measured on: labelled pictures from a folder or a CSV file, or made from a folder of live photos.

A label is `live`, or else the kind of an attack.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.attacks import COLOUR_ATTACKS
from bench.face_sets import PHOTO_SUFFIXES, BadSet
from bench.infrared_attacks import INFRARED_ATTACKS, simulated_infrared
from engine.vision.decode.versions import decode
from engine.vision.ports import Face, Image, ModelSet

LIVE = "live"
_MAX_PIXELS = 32_000_000
_INFRARED = ".ir"


@dataclass(frozen=True, slots=True)
class Look:
    """What one attempt shows the cameras: a colour picture and perhaps an infrared one."""

    label: str
    colour: Image
    infrared: Image | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Something that gives looks: a labelled file gives one, a live photo to make attacks of gives many."""

    name: str
    looks: Callable[[ModelSet], Iterator[Look]]


def labelled(path: Path) -> list[Case]:
    """The cases of a labelled set.

    A folder has a sub-folder `live` and one per kind of attack; NAME.ir.jpg is the infrared picture beside NAME.jpg. A
    CSV file has a first line file,label or file,label,ir and a picture per line, relative to the file.

    Raises:
        BadSet: it cannot be read, or holds no picture.
    """
    rows = _csv_rows(path) if path.is_file() else _folder_rows(path)
    if not rows:
        raise BadSet(f"{path} holds no labelled picture; give a folder with live/ and a folder per kind of attack")
    return [labelled_case(label, colour, infrared) for label, colour, infrared in rows]


def photos_of(folder: Path) -> list[Path]:
    """All photos below a folder, in order.

    Raises:
        BadSet: there is none.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES and not _is_infrared(p))
    if not found:
        raise BadSet(f"{folder} holds no photo; give a folder of photos of live people")
    return found


def made_from(photos: list[Path], *, attacks: bool = True) -> list[Case]:
    """The live photos, and with `attacks` all attacks made of each; photo i is made with seed i, and the other person
    of `ir_other` is in the photo before, if that is another person."""
    return [_made(i, photo, photos[i - 1], attacks=attacks) for i, photo in enumerate(photos)]


def read(path: Path) -> Image:
    """A picture file, decoded as the engine does.

    Raises:
        PictureRefused: it is no picture.
    """
    return decode(path.read_bytes(), _MAX_PIXELS)


def labelled_case(label: str, colour: Path, infrared: Path | None = None) -> Case:
    """One labelled picture, with its infrared one."""

    def looks(models: ModelSet) -> Iterator[Look]:
        yield Look(label, read(colour), None if infrared is None else read(infrared))

    return Case(str(colour), looks)


def _made(seed: int, photo: Path, before: Path, *, attacks: bool) -> Case:
    def looks(models: ModelSet) -> Iterator[Look]:
        image = read(photo)
        yield Look(LIVE, image)
        faces = models.detector(image)
        if not attacks or not faces:
            return
        face = faces[0]
        for kind, make in COLOUR_ATTACKS.items():
            yield Look(kind, make(image, face.box, seed))
        yield Look(LIVE, image, simulated_infrared(image, face, seed))
        for kind, make_infrared in INFRARED_ATTACKS.items():
            yield Look(kind, image, make_infrared(image, face, seed))
        other = read(before)
        others = models.detector(other)
        if others and not _same_person(models, image, face, other, others[0]):
            yield Look("ir_other", image, _in_place(image, face, other, others[0], seed))

    return Case(str(photo), looks)


def _same_person(models: ModelSet, image: Image, face: Face, other: Image, other_face: Face) -> bool:
    """By the threshold of a search, which strangers hardly ever reach: a folder may have several photos of a person."""
    cosine = float(models.embedder(image, face).vector @ models.embedder(other, other_face).vector)
    return cosine >= models.embedder.threshold


def _in_place(image: Image, face: Face, other: Image, other_face: Face, seed: int) -> Image:
    """Somebody else's simulated infrared picture, moved so that the face lies where `face` does."""
    scale = face.box.height / other_face.box.height
    here = np.array([face.box.x + face.box.width / 2, face.box.y + face.box.height / 2])
    there = np.array([other_face.box.x + other_face.box.width / 2, other_face.box.y + other_face.box.height / 2])
    return _moved(simulated_infrared(other, other_face, seed), scale, here - scale * there, image.shape[:2])


def _moved(image: Image, scale: float, shift: np.ndarray, shape: tuple[int, ...]) -> Image:
    """The picture scaled and shifted (pixels) onto one of that height and width."""
    matrix = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
    return np.asarray(cv2.warpAffine(image, matrix, (shape[1], shape[0]), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _is_infrared(path: Path) -> bool:
    return path.stem.endswith(_INFRARED)


def _folder_rows(folder: Path) -> list[tuple[str, Path, Path | None]]:
    if not folder.is_dir():
        raise BadSet(f"{folder} is neither a folder nor a CSV file")
    rows = []
    for kind in sorted(p for p in folder.iterdir() if p.is_dir()):
        pictures = sorted(p for p in kind.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
        beside = {p.with_name(p.stem.removesuffix(_INFRARED)): p for p in pictures if _is_infrared(p)}
        rows += [(kind.name, p, beside.get(p.with_suffix(""))) for p in pictures if not _is_infrared(p)]
    return rows


def _csv_rows(file: Path) -> list[tuple[str, Path, Path | None]]:
    try:
        lines = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadSet(f"{file} cannot be read as a CSV file: {error}") from error
    rows: list[tuple[str, Path, Path | None]] = []
    for number, line in enumerate(lines, 2):
        name, label, infrared = line.get("file"), line.get("label"), line.get("ir")
        if not name or not label:
            raise BadSet(f"{file}, line {number}: file and label are needed; the first line must be file,label[,ir]")
        rows.append((label, file.parent / name, file.parent / infrared if infrared else None))
    return rows

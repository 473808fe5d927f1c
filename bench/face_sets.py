"""Labelled photos to measure on: a folder of people, and pairs files (CSV, or the text form of the LFW protocol)."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

DRAWN_FOLDS = 10
DRAWN_PAIRS = 300
"""Pairs of each kind per fold where no pairs file is given: as many as LFW's protocol has."""


class BadSet(Exception):
    """The photos or pairs cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos and whether they show one person; its accuracy is measured in `fold`."""

    fold: int
    first: Path
    second: Path
    same: bool


def photos_of_people(folder: Path) -> dict[Path, str]:
    """Each photo below `folder` with its person: the name of the sub-folder, however deep the photo lies in it.

    Raises:
        BadSet: there is no such folder, or no photo of a person in it.
    """
    if not folder.is_dir():
        raise BadSet(f"{folder} is not a folder; give one that holds a folder per person")
    found = {
        path: path.relative_to(folder).parts[0]
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PHOTO_SUFFIXES and path.parent != folder and path.is_file()
    }
    if not found:
        raise BadSet(f"{folder} holds no folder of photos; give one that holds a folder per person")
    return found


def read_pairs(file: Path, folder: Path) -> list[Pair]:
    """The pairs of a file; photos are named relative to `folder`.

    A name ending in .csv: a first line fold,image_a,image_b,same and a pair per line. Else LFW's text form: `FOLDS N`
    (or `N` alone for one fold), then per fold N lines `NAME 1 2` of one person and N lines `NAME 1 OTHER 2` of two,
    tabs between; photo 1 of NAME is NAME/NAME_0001.jpg.

    Raises:
        BadSet: it cannot be read, is of neither form, or names a photo that is not there.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSet(f"the pairs file {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = list(_csv_pairs(lines, file, folder) if file.suffix.lower() == ".csv" else _lfw_pairs(lines, file, folder))
    if not found:
        raise BadSet(f"the pairs file {file} holds no pair")
    absent = next((path for pair in found for path in (pair.first, pair.second) if not path.is_file()), None)
    if absent is not None:
        raise BadSet(f"the pairs file {file} names {absent}, which is not there; say where the photos are")
    return found


def _csv_pairs(lines: Sequence[str], file: Path, folder: Path) -> Iterator[Pair]:
    rows = csv.DictReader(lines)
    if not {"fold", "image_a", "image_b", "same"} <= set(rows.fieldnames or ()):
        raise BadSet(f"the pairs file {file} needs the columns fold, image_a, image_b and same")
    for row in rows:
        if not str(row["fold"]).isdecimal() or row["same"] not in ("0", "1"):
            raise BadSet(f"{file} line {rows.line_num}: fold must be a number and same 0 or 1")
        yield Pair(int(row["fold"]), folder / row["image_a"], folder / row["image_b"], row["same"] == "1")


def _lfw_pairs(lines: Sequence[str], file: Path, folder: Path) -> Iterator[Pair]:
    header = lines[0].split() if lines else []
    if not 1 <= len(header) <= 2 or not all(word.isdecimal() and int(word) for word in header):
        raise BadSet(f"the pairs file {file} does not begin with the numbers of folds and pairs")
    each = int(header[-1])
    for number, line in enumerate(line for line in lines[1:] if line.strip()):
        cells, where = line.split(), f"{file} line {number + 2}"
        same = number // each % 2 == 0
        if len(cells) != (3 if same else 4) or not (cells[1] + cells[-1]).isdecimal():
            raise BadSet(f"{where}: expected {'NAME N N' if same else 'NAME N NAME N'}")
        name, other = cells[0], cells[0] if same else cells[2]
        first, second = _lfw_photo(folder, name, int(cells[1])), _lfw_photo(folder, other, int(cells[-1]))
        yield Pair(number // (2 * each) + 1, first, second, same)


def _lfw_photo(folder: Path, name: str, number: int) -> Path:
    return folder / name / f"{name}_{number:04d}.jpg"


def draw_pairs(people: dict[Path, str], seed: int = 1) -> list[Pair]:
    """Pairs drawn from a folder of people in ten folds that share nobody: at most `DRAWN_PAIRS` of each kind per fold,
    and as many of different people as of one. The same every time."""
    chance = np.random.default_rng(seed)
    photos: dict[str, list[Path]] = {}
    for path, person in people.items():
        photos.setdefault(person, []).append(path)
    names = [sorted(photos)[i] for i in chance.permutation(len(photos))]
    drawn: list[Pair] = []
    for fold in range(DRAWN_FOLDS):
        members = names[fold::DRAWN_FOLDS]
        same = [(a, b) for name in members for i, a in enumerate(photos[name]) for b in photos[name][i + 1 :]]
        chosen = [same[i] for i in chance.permutation(len(same))[:DRAWN_PAIRS]]
        drawn += [Pair(fold + 1, a, b, same=True) for a, b in chosen]
        for _ in chosen if len(members) > 1 else ():
            one, other = (photos[members[i]] for i in chance.choice(len(members), 2, replace=False))
            first, second = one[chance.integers(len(one))], other[chance.integers(len(other))]
            drawn.append(Pair(fold + 1, first, second, same=False))
    return drawn

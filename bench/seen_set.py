"""A set of photos after the networks have seen it: rows of vectors and qualities, and a file that keeps them."""

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.face_sets import BadSet
from contract.vectors import Vector
from engine.evaluation.photos import FaceChoice
from engine.vision.ports import ModelSet
from picturematch.photos import Unmeasured, measure_photos

MAX_PIXELS = 32_000_000

QUALITIES = ("quality score", "embedding norm", "detector confidence", "sharpness")


@dataclass(frozen=True, slots=True, eq=False)
class SeenSet:
    """The photos that gave a vector, in order, and how many did not.

    Attributes:
        rows: the row of each seen photo.
        vectors: n x dimension unit vectors, float32.
        qualities: n x `QUALITIES` float64.
        no_face: photos in which no face was found.
        unreadable: photos that could not be decoded, or whose face could not be used.
        several_faces: seen photos with more than one face.
    """

    rows: dict[Path, int]
    vectors: Vector
    qualities: NDArray[np.float64]
    no_face: int
    unreadable: int
    several_faces: int

    def only(self, photos: Iterable[Path]) -> "SeenSet":
        """The set of these photos, which were seen."""
        chosen = list(photos)
        rows = [self.rows[path] for path in chosen]
        numbered = {path: row for row, path in enumerate(chosen)}
        return replace(self, rows=numbered, vectors=self.vectors[rows], qualities=self.qualities[rows])


def see_set(
    photos: Sequence[Path],
    models: ModelSet,
    choice: FaceChoice,
    step: Callable[[], None],
    trouble: Callable[[str], None],
    threads: int | None = None,
) -> SeenSet:
    """See each photo once; `step` is told after each, `trouble` of each that gave no vector.

    Raises:
        BadSet: no photo gave a vector.
    """
    rows: dict[Path, int] = {}
    vectors, qualities = [], []
    no_face = unreadable = several = 0
    for path, seen in zip(photos, measure_photos(photos, models, choice, MAX_PIXELS, threads), strict=True):
        step()
        if isinstance(seen, Unmeasured):
            trouble(f"{path}: {seen.reason}")
            no_face += seen.no_face
            unreadable += not seen.no_face
            continue
        rows[path] = len(rows)
        several += seen.faces > 1
        vectors.append(seen.embedding.vector)
        qualities.append((seen.quality, seen.embedding.norm, seen.confidence, seen.sharpness))
    if not rows:
        raise BadSet("no photo shows a face that can be used")
    return SeenSet(rows, np.stack(vectors), np.array(qualities, np.float64), no_face, unreadable, several)


def cache_key(models: ModelSet, choice: FaceChoice, photos: Sequence[Path]) -> str:
    """What a kept set depends on, but for the code itself: networks, choice, and each photo's size and time."""
    stats = [path.stat() for path in photos]
    files = "\n".join(f"{p}\t{s.st_size}\t{s.st_mtime_ns}" for p, s in zip(photos, stats, strict=True))
    return f"{models.identities}\n{choice}\n{files}"


def load_set(file: Path, key: str) -> SeenSet | None:
    """The set kept in `file`; None where there is no file, or it holds another set.

    Raises:
        BadSet: the file is something else.
    """
    kept = load_arrays(file, key, ("photos", "vectors", "qualities", "counts"))
    if kept is None:
        return None
    counts = [int(value) for value in kept["counts"]]
    rows = {Path(str(name)): i for i, name in enumerate(kept["photos"])}
    return SeenSet(rows, kept["vectors"], kept["qualities"], *counts)


def keep_set(file: Path, key: str, seen: SeenSet) -> None:
    """Keep the set, as `keep_arrays` does."""
    keep_arrays(
        file,
        key,
        photos=np.array([str(path) for path in seen.rows]),
        vectors=seen.vectors,
        qualities=seen.qualities,
        counts=np.array([seen.no_face, seen.unreadable, seen.several_faces]),
    )


def load_arrays(file: Path, key: str, names: Sequence[str]) -> Mapping[str, np.ndarray] | None:
    """The arrays of these names that are kept in `file`; None where there is no file, or `key` is another.

    Raises:
        BadSet: the file is something else.
    """
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in names} if str(kept["key"]) == key else None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BadSet(f"{file} is not a file that --cache wrote; name another") from error


def keep_arrays(file: Path, key: str, **arrays: np.ndarray) -> None:
    """Keep arrays. Vectors of faces are biometric: the file is readable by its owner only."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        np.savez(out, allow_pickle=False, **{"key": np.array(key), **arrays})

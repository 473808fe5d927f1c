"""The faces of `bench.covered`: every photo as it is, and with a face mask and sunglasses drawn over its face."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.drawn_covers import draw_some_mask, draw_some_sunglasses
from bench.face_sets import BadSet
from bench.seen_set import keep_arrays, load_arrays
from clients.picture_file import UnusablePicture, read_picture
from contract.errors import PictureRefused
from contract.terms import COVERED_EYES, COVERED_MOUTH, COVERS
from contract.vectors import Vector, Vectors
from engine.evaluation.photos import FaceChoice, most_centred
from engine.in_order import in_order
from engine.timing import StageTimer
from engine.vision.covering import FaceFrame, covered_copy
from engine.vision.finding import find_faces
from engine.vision.ports import Face, Image, ModelSet
from engine.vision.quality.mouth import measure_mouth

MAX_PIXELS = 32_000_000
LOOKS = ("plain", *COVERS)
"""How a face is presented: bare, or with one of the covers."""

_DRAWN = {COVERED_MOUTH: draw_some_mask, COVERED_EYES: draw_some_sunglasses}


@dataclass(frozen=True, slots=True, eq=False)
class CoveredSet:
    """The photos in which a face was found.

    `people`: by row, the number of the person. `probes`: rows x `LOOKS` x dimension, the embeddings of what a camera
    would see; zeros where no face was found with the cover. `drawn`: rows x covers x dimension, the embeddings of the
    drawings of enrolment, without the mean. `mouth`: rows x `LOOKS`, the item mask (NaN where no face was found).
    """

    people: NDArray[np.int64]
    probes: Vectors
    drawn: Vectors
    mouth: NDArray[np.float64]

    def found(self, look: str) -> NDArray[np.bool_]:
        """Return the rows in which a face was found in that look."""
        return np.asarray(np.abs(self.probes[:, LOOKS.index(look)]).max(axis=1) > 0)

    def probe(self, look: str) -> Vectors:
        """Return the embeddings of that look."""
        return self.probes[:, LOOKS.index(look)]

    def template(self, cover: str) -> Vectors:
        """Return the templates of faces with that cover, as an enrolment makes them from each row's photo."""
        total = self.probe("plain").astype(np.float64) + self.drawn[:, LOOKS.index(cover) - 1]
        return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    probes: list[Vector]
    drawn: list[Vector]
    mouth: list[float]


def see_covered(
    photos: dict[Path, str], models: ModelSet, choice: FaceChoice, threads: int, step: Callable[[], None]
) -> CoveredSet:
    """Look at every photo three times, and make the drawings of an enrolment.

    Raises:
        BadSet: no photo shows a face.
    """
    names = sorted(set(photos.values()))

    def one(path: Path) -> _Seen | None:
        try:
            return _see(path, models, choice)
        except (PictureRefused, UnusablePicture, OSError):
            return None

    rows, people = list[_Seen](), list[int]()
    for path, seen in zip(photos, in_order(one, list(photos), threads), strict=True):
        step()
        if seen is not None:
            rows.append(seen)
            people.append(names.index(photos[path]))
    if not rows:
        raise BadSet("no photo shows a face that can be used")
    return CoveredSet(
        np.array(people),
        np.array([row.probes for row in rows], np.float32),
        np.array([row.drawn for row in rows], np.float32),
        np.array([row.mouth for row in rows]),
    )


def _see(path: Path, models: ModelSet, choice: FaceChoice) -> _Seen:
    image, faces = find_faces(read_picture(path), models.detector, MAX_PIXELS, StageTimer(clock=lambda: 0.0))
    face = _chosen(image, faces, choice)
    if face is None:
        raise UnusablePicture("no face found in the picture")
    seen = _Seen([], [], [])
    # Python's own hash of a text differs from run to run.
    chance, frame = np.random.default_rng(zlib.crc32(path.name.encode())), FaceFrame.of(face.landmarks)
    for look in LOOKS:
        shown = image if look == "plain" else _DRAWN[look](image, frame, chance)
        found = face if look == "plain" else _chosen(shown, models.detector(shown), choice)
        if found is None:
            seen.probes.append(np.zeros(models.embedder.dimension, np.float32))
            seen.mouth.append(float("nan"))
            continue
        seen.probes.append(models.embedder(shown, found).vector)
        seen.mouth.append(measure_mouth(shown, found).value)
    seen.drawn.extend(models.embedder(*covered_copy(image, face, cover)).vector for cover in COVERS)
    return seen


def _chosen(image: Image, faces: Sequence[Face], choice: FaceChoice) -> Face | None:
    if not faces:
        return None
    return faces[0] if choice == "largest" else most_centred(image, faces)


def keep_covered(file: Path, key: str, seen: CoveredSet) -> None:
    """Keep the set, as `bench.seen_set.keep_arrays` does."""
    keep_arrays(file, key, people=seen.people, probes=seen.probes, drawn=seen.drawn, mouth=seen.mouth)


def load_covered(file: Path, key: str) -> CoveredSet | None:
    """Return the set kept in `file`; None where there is no file, or it is of other photos or networks.

    Raises:
        BadSet: the file is something else.
    """
    names = ("people", "probes", "drawn", "mouth")
    kept = load_arrays(file, key, names)
    return None if kept is None else CoveredSet(*(kept[name] for name in names))

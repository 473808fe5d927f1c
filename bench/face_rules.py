"""Rules that choose one of several faces, and what each of them costs in recognition; for `bench.faces`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import PictureRefused
from contract.vectors import Vector
from engine.evaluation.openset import Split, at_fpir, draw_split, search
from engine.policy import Policy
from engine.threshold import search_threshold
from engine.timing import StageTimer
from engine.vision.choosing import NEAR, Choice, Traits, choose, traits_of
from engine.vision.finding import find_faces
from engine.vision.ports import Box, Embedder, Face, ModelSet

MAX_PIXELS = 32_000_000
MOST_FACES = 10
SAME_PERSON = 0.3
"""The cosine to another photo of the person from which on a face counts as the person's, whoever is in the middle."""

SHIFTS = (0.0, 0.25, -0.25, 0.5, -0.5)
"""By which share of the picture's width the middle is moved: a rule that needs the person in the middle fails then."""

_SPLITS = 60
_SPLITS_OF_TWO = 20


@dataclass(frozen=True, slots=True, eq=False)
class SeenPhoto:
    """The faces of a photo, the largest first, with their traits and vectors; `width` and `height` in pixels."""

    person: str
    width: int
    height: int
    faces: Sequence[Face]
    traits: Sequence[Traits]
    vectors: Vector

    def centrality(self, place: int, shift: float = 0.0) -> float:
        """Return 1 for a face in the middle, 0 for one in the corner; the middle is moved by `shift` widths."""
        box = self.faces[place].box
        away = np.hypot(box.x + box.width / 2 - self.width * (0.5 + shift), box.y + box.height / 2 - self.height / 2)
        return max(0.0, 1.0 - float(away / np.hypot(self.width / 2, self.height / 2)))

    @property
    def centred(self) -> int:
        """The place of the face whose middle is the fewest of its sides away from that of the photo."""

        def distance(box: Box) -> float:
            across, down = box.x + (box.width - self.width) / 2, box.y + (box.height - self.height) / 2
            return float(np.hypot(across, down) / max(box.area, 1.0) ** 0.5)

        return min(range(len(self.faces)), key=lambda place: distance(self.faces[place].box))


Pick = Callable[[SeenPhoto, float], int]
"""A rule: the place of the chosen face of a photo whose middle is moved by a share of its width."""


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """The figures of a rule: the photos in which it takes another face than the person's, by the shift of the middle,
    and FNIR and threshold at FPIRs of 1e-2 and 3e-3."""

    wrong: tuple[int, ...]
    fnir: tuple[float, float] = field(default=(0.0, 0.0))


def see(path: Path, person: str, models: ModelSet) -> SeenPhoto | None:
    """Return the faces of a photo; None where it has none that can be embedded."""
    try:
        image, faces = find_faces(path.read_bytes(), models.detector, MAX_PIXELS, StageTimer(lambda: 0.0))
        vectors = [models.embedder(image, face).vector for face in faces[:MOST_FACES]]
    except PictureRefused:
        return None
    if not vectors:
        return None
    kept = faces[:MOST_FACES]
    rows, columns = image.shape[:2]
    return SeenPhoto(person, columns, rows, kept, [traits_of(image, face) for face in kept], np.stack(vectors))


def owners(photos: Sequence[SeenPhoto]) -> Sequence[int]:
    """Return for each photo the place of the person's face: the one most similar to the centred faces of the person's
    other photos; the centred one where there are none, or no face is similar."""
    centred = [photo.centred for photo in photos]
    of_person: dict[str, list[int]] = {}
    for place, photo in enumerate(photos):
        of_person.setdefault(photo.person, []).append(place)
    found = []
    for place, photo in enumerate(photos):
        others = [photos[other].vectors[centred[other]] for other in of_person[photo.person] if other != place]
        if len(photo.faces) == 1 or not others:
            found.append(centred[place])
            continue
        likeness = (photo.vectors @ np.stack(others).T).max(axis=1)
        best = int(likeness.argmax())
        found.append(best if likeness[best] >= SAME_PERSON else centred[place])
    return found


def rules() -> Mapping[str, Pick]:
    """Return the rules that are compared, by name; the last one ships."""
    all_of_them = {"pose": 0.25, "cut": 1.0, "sharpness": 0.25, "confidence": 0.5}
    weighing = partial(_weighing, NEAR)
    return {
        "largest": lambda photo, shift: 0,
        "most central in widths of the face": lambda photo, shift: photo.centred,
        "near, then place": weighing(place=0.5),
        "near, then pose": weighing(pose=0.5),
        "near, then sharpness": weighing(sharpness=0.5),
        "near, then confidence": weighing(confidence=0.5),
        "near, then pose and place": weighing(pose=0.25, place=0.1),
        "near, then pose, place, cut": weighing(pose=0.25, place=0.1, cut=1.0),
        "near, then pose, place, cut, sharpness": weighing(pose=0.25, place=0.1, cut=1.0, sharpness=0.25),
        "all of them without place": weighing(**all_of_them),
        "all of them, place 0.25": weighing(place=0.25, **all_of_them),
        "all of them, near from 0.7": _weighing(0.7, place=0.1, **all_of_them),
        "all of them, near from 0.95": _weighing(0.95, place=0.1, **all_of_them),
        "all of them (ships)": lambda photo, shift: shipped(photo, shift).chosen,
    }


def shipped(photo: SeenPhoto, shift: float = 0.0) -> Choice:
    """Return the choice of the rule that ships."""
    return choose(
        [
            Traits(t.side, t.visible, t.confidence, t.frontal, t.sharpness, photo.centrality(place, shift))
            for place, t in enumerate(photo.traits)
        ]
    )


def _weighing(
    near: float,
    place: float = 0.0,
    pose: float = 0.0,
    sharpness: float = 0.0,
    confidence: float = 0.0,
    cut: float = 0.0,
) -> Pick:
    """Return the rule that weighs the faces whose side is at least `near` of the largest one's with these shares."""

    def pick(photo: SeenPhoto, shift: float) -> int:
        def weight(number: int) -> float:
            traits, weight = photo.traits[number], photo.traits[number].side
            for share, part in (
                (place, photo.centrality(number, shift)),
                (pose, traits.frontal),
                (sharpness, traits.sharpness),
                (confidence, traits.confidence),
                (cut, traits.visible),
            ):
                weight *= 1 - share + share * part
            return weight

        largest = max(traits.side for traits in photo.traits)
        return max((n for n, traits in enumerate(photo.traits) if traits.side >= near * largest), key=weight)

    return pick


def figures_of(pick: Pick, photos: Sequence[SeenPhoto], truth: Sequence[int]) -> RuleFigures:
    """Return the figures of a rule. People are enrolled with their own face, and searched for with the chosen one."""
    wrong = tuple(sum(pick(photo, shift) != own for photo, own in zip(photos, truth, strict=True)) for shift in SHIFTS)
    own = np.stack([photo.vectors[place] for photo, place in zip(photos, truth, strict=True)])
    probes = np.stack([photo.vectors[pick(photo, 0.0)] for photo in photos])
    vectors = np.concatenate([own, probes])
    searches = [search(vectors, _probing(split, len(photos))) for split in _splits(photos)]
    return RuleFigures(wrong, (at_fpir(searches, 1e-2).fnir, at_fpir(searches, 3e-3).fnir))


@dataclass(frozen=True, slots=True)
class TwoPeople:
    """Pictures of two people side by side, at the default threshold of a search: FNIR where one is enrolled, FPIR where
    neither is; for the largest face, the chosen one, and the chosen one with its rival.

    `fpir_of_one`: the FPIR of strangers alone. `with_rival`: the share of the pictures that have a rival.
    """

    threshold: float
    fnir: tuple[float, float, float]
    fpir: tuple[float, float, float]
    fpir_of_one: float
    with_rival: float


def two_people(photos: Sequence[SeenPhoto], truth: Sequence[int], embedder: Embedder) -> TwoPeople:
    """Return the figures of photos that are put side by side, each with another photo drawn from the strangers'."""
    own = np.stack([photo.vectors[place] for photo, place in zip(photos, truth, strict=True)])
    chance, misses, alarms, alone, rivals = (
        np.random.default_rng(1),
        list[list[bool]](),
        list[list[bool]](),
        list[bool](),
        0,
    )
    splits = _splits(photos)[:_SPLITS_OF_TWO]
    threshold = search_threshold(Policy(), embedder, len(splits[0].gallery)).cosine
    for split in splits:
        gallery = own[split.gallery]
        for number, row in enumerate(split.probes):
            picture = _side_by_side(photos[row], photos[chance.choice(split.strangers)], chance)
            misses.append([answer != number for answer in _answers(picture, gallery, threshold)])
            rivals += shipped(picture).rival is not None
        for row in split.strangers:
            picture = _side_by_side(photos[row], photos[chance.choice(split.strangers)], chance)
            alarms.append([answer >= 0 for answer in _answers(picture, gallery, threshold)])
            alone.append(_answers(photos[row], gallery, threshold)[1] >= 0)
    return TwoPeople(threshold, _means(misses), _means(alarms), float(np.mean(alone)), rivals / len(misses))


def _means(rows: Sequence[Sequence[bool]]) -> tuple[float, float, float]:
    first, second, third = np.mean(rows, axis=0)
    return float(first), float(second), float(third)


def _side_by_side(one: SeenPhoto, other: SeenPhoto, chance: np.random.Generator) -> SeenPhoto:
    """Return the faces of both photos as those of one picture, in random order."""
    left, right = (one, other) if chance.random() < 0.5 else (other, one)
    moved = [replace(f, box=Box(f.box.x + left.width, f.box.y, f.box.width, f.box.height)) for f in right.faces]
    faces, traits = [*left.faces, *moved], [*left.traits, *right.traits]
    order = sorted(range(len(faces)), key=lambda place: -faces[place].box.area)
    return SeenPhoto(
        one.person,
        left.width + right.width,
        max(left.height, right.height),
        [faces[place] for place in order],
        [traits[place] for place in order],
        np.concatenate([left.vectors, right.vectors])[order],
    )


def _answers(photo: SeenPhoto, gallery: Vector, threshold: float) -> tuple[int, int, int]:
    """Return whom a search finds by the largest face, by the chosen one, and by that or its rival: places in the
    gallery, or -1 for a stranger."""
    choice = shipped(photo)
    alone = _nearest(photo.vectors[choice.chosen], gallery, threshold)
    both = alone
    if alone < 0 and choice.rival is not None:
        both = _nearest(photo.vectors[choice.rival], gallery, threshold)
    return _nearest(photo.vectors[0], gallery, threshold), alone, both


def _nearest(vector: NDArray[np.float32], gallery: Vector, threshold: float) -> int:
    scores = gallery @ vector
    best = int(scores.argmax())
    return best if scores[best] >= threshold else -1


def _splits(photos: Sequence[SeenPhoto]) -> Sequence[Split]:
    _, people = np.unique([photo.person for photo in photos], return_inverse=True)
    return [draw_split(people.astype(np.int64), seed) for seed in range(_SPLITS)]


def _probing(split: Split, photos: int) -> Split:
    """Return the split whose probes and strangers are the second half of the vectors: the chosen faces."""
    return Split(split.gallery, split.probes + photos, split.strangers + photos)

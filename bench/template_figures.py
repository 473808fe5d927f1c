"""The figures of bench.templates: rates of searches with several photos of each person, under each rule. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.face_sets import BadSet
from contract.vectors import Vector, Vectors
from engine.evaluation.openset import NEVER, OpenSetAt, OpenSetPoint, at_fpir, at_threshold, rank_one_misses
from engine.evaluation.photos import FaceChoice
from engine.evaluation.scores import Scores
from engine.gallery.templates import mean_of
from engine.policy import Policy
from engine.threshold import Calibrated, search_threshold

MOST_PHOTOS = 3
TARGETS = (1e-2, 3e-3)
SIZES = (30, 100)
MOST_ENROLLED = 0.5
"""The largest share of all people that is enrolled, so that enough of them are strangers."""

Rule = Literal["faces", "mean", "both"]
RULES: Mapping[Rule, str] = {"faces": "nearest face", "mean": "mean alone", "both": "faces + mean, ships"}


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Rows of the vectors: `enrolled`, people x `MOST_PHOTOS`; `probes`, one further photo of each of these people;
    `strangers`, all photos of everybody else."""

    enrolled: NDArray[np.intp]
    probes: NDArray[np.intp]
    strangers: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class AtTarget:
    """At a target: the FNIR where the FPIR is the target, and both rates at the threshold that ships for the target."""

    target: float
    exact: OpenSetPoint
    shipped: OpenSetAt


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """The figures of one rule with so many photos of each person; `templates`: how many a search compares.

    `not_first`: the share of searches in which the enrolled person was not ranked first, whatever the threshold.
    """

    photos: int
    rule: Rule
    templates: int
    not_first: float
    at: tuple[AtTarget, ...]


@dataclass(frozen=True, slots=True)
class Promise:
    """The FPIR of searches of faces and means among `people` people with so many photos each, as a share of a target.

    By target, in the order of `TARGETS`: `kept`, with the threshold that ships, for which faces and means are counted;
    `faces_alone`, with the threshold that follows from the number of faces alone.
    """

    photos: int
    people: int
    kept: tuple[float, ...]
    faces_alone: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All figures, and what they were taken from."""

    folder: str
    face: FaceChoice
    people: int
    strangers: int
    draws: int
    figures: tuple[RuleFigures, ...]
    promises: tuple[Promise, ...]


def draw(rows_of: Mapping[str, Sequence[int]], seed: int) -> Draw:
    """Return a draw: whoever has more than `MOST_PHOTOS` photos is enrolled, with photos drawn with that seed.

    Raises:
        BadSet: nobody could be enrolled, or nobody would be a stranger.
    """
    chance = np.random.default_rng(seed)
    enrolled = [who for who in sorted(rows_of) if len(rows_of[who]) > MOST_PHOTOS]
    strangers = [row for who, rows in rows_of.items() if len(rows) <= MOST_PHOTOS for row in rows]
    if not enrolled or not strangers:
        raise BadSet(f"people with more than {MOST_PHOTOS} photos are needed, and others who are strangers")
    drawn = np.array([chance.permutation(rows_of[who])[: MOST_PHOTOS + 1] for who in enrolled], np.intp)
    return Draw(drawn[:, :MOST_PHOTOS], drawn[:, MOST_PHOTOS], np.array(sorted(strangers), np.intp))


def templates_of(faces: Vectors, rule: Rule) -> Vectors:
    """Return what a search compares of one person; `faces`: the embeddings of the person's photos."""
    mean = mean_of(list(faces)) if len(faces) > 1 and rule != "faces" else None
    if mean is None:
        return faces
    return mean[np.newaxis] if rule == "mean" else np.concatenate([faces, mean[np.newaxis]])


def searched(vectors: Vector, drawn: Draw, photos: int, rule: Rule) -> tuple[Scores, int]:
    """Return the scores of the searches of a draw (engine.evaluation.openset.search), and the templates compared."""
    templates = [templates_of(vectors[rows[:photos]], rule) for rows in drawn.enrolled]
    gallery, begins = np.concatenate(templates), np.cumsum([0, *map(len, templates[:-1])])

    def of_people(probes: NDArray[np.intp]) -> Vector:
        nearest: Vector = np.maximum.reduceat(vectors[probes] @ gallery.T, begins, axis=1)
        return nearest

    scores = of_people(drawn.probes)
    mates = np.diagonal(scores)
    genuine = np.where(mates >= scores.max(axis=1), mates, NEVER).astype(np.float32)
    strangers = of_people(drawn.strangers).max(axis=1)
    return Scores(np.sort(genuine), np.sort(strangers), len(strangers)), len(gallery)


def measure(vectors: Vector, draws: Sequence[Draw], embedder: Calibrated) -> tuple[RuleFigures, ...]:
    """Return the figures of every rule, with one to `MOST_PHOTOS` photos of each person."""
    wanted: list[tuple[int, Rule]] = [(1, "faces")]
    wanted += [(photos, rule) for photos in range(2, MOST_PHOTOS + 1) for rule in RULES]
    return tuple(_figures(vectors, draws, photos, rule, embedder) for photos, rule in wanted)


def _figures(vectors: Vector, draws: Sequence[Draw], photos: int, rule: Rule, embedder: Calibrated) -> RuleFigures:
    searches = [searched(vectors, drawn, photos, rule) for drawn in draws]
    scores, templates = [found for found, _ in searches], max(count for _, count in searches)
    at = [
        AtTarget(
            target,
            at_fpir(scores, target),
            at_threshold(scores, search_threshold(Policy(target_fpir=target), embedder, templates).cosine),
        )
        for target in TARGETS
    ]
    return RuleFigures(photos, rule, templates, rank_one_misses(scores), tuple(at))


def promises(
    vectors: Vector, rows_of: Mapping[str, Sequence[int]], draws: int, embedder: Calibrated
) -> tuple[Promise, ...]:
    """Return how the promise of the target is kept in galleries of `SIZES` people, and of all with so many photos.

    All photos of everybody who is not enrolled are the strangers, so the largest gallery has the fewest.
    """
    found = []
    for photos in range(1, MOST_PHOTOS + 1):
        able = [who for who in sorted(rows_of) if len(rows_of[who]) >= photos]
        largest = min(len(able), int(MOST_ENROLLED * len(rows_of)))
        for size in (*(size for size in SIZES if size < largest), largest):
            rates = np.mean([_promise(vectors, rows_of, able, photos, size, s, embedder) for s in range(draws)], axis=0)
            kept, faces_alone = (rates / np.array(TARGETS)).tolist()
            found.append(Promise(photos, size, tuple(kept), tuple(faces_alone)))
    return tuple(found)


def _promise(
    vectors: Vector,
    rows_of: Mapping[str, Sequence[int]],
    able: Sequence[str],
    photos: int,
    size: int,
    seed: int,
    embedder: Calibrated,
) -> list[list[float]]:
    """Return the FPIR of one draw by target, with the templates counted, and with the faces alone."""
    chance = np.random.default_rng(seed)
    enrolled = {able[place] for place in chance.permutation(len(able))[:size]}
    faces = [vectors[chance.permutation(rows_of[who])[:photos]] for who in sorted(enrolled)]
    gallery = np.concatenate([templates_of(each, "both") for each in faces])
    strangers = [row for who, rows in rows_of.items() if who not in enrolled for row in rows]
    highest = (vectors[strangers] @ gallery.T).max(axis=1)
    counts = len(gallery), photos * size
    thresholds = [
        [search_threshold(Policy(target_fpir=target), embedder, count).cosine for target in TARGETS] for count in counts
    ]
    return [[float(np.mean(highest >= threshold)) for threshold in some] for some in thresholds]

"""The figures of `bench.accuracy`, from vectors and labels to values; nothing is printed here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.face_sets import Pair
from bench.seen_set import QUALITIES, SeenSet
from contract.vectors import Vector
from engine.evaluation.curve import RATES, is_measurable
from engine.evaluation.folds import Fold, folded_accuracy
from engine.evaluation.openset import (
    OpenSetAt,
    OpenSetPoint,
    at_fpir,
    at_threshold,
    draw_split,
    rank_one_misses,
    search,
)
from engine.evaluation.pairs import AllPairs, score_all_pairs
from engine.evaluation.photos import FaceChoice
from engine.evaluation.reject import RejectCurve, pair_quality, reject_curve
from engine.evaluation.scores import EqualError, RocPoint, Scores, equal_error, roc, scores_of, wilson
from engine.policy import Policy
from engine.threshold import AppliedThreshold, search_threshold
from engine.vision.ports import Embedder, ModelSet

T = TypeVar("T")

FARS = (1e-2, 1e-3)
FPIRS = (1e-1, 1e-2)
SPLITS = 10
REJECTED = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)

UNSEEN = np.float32(-1.0)
"""The score of a pair of which one photo gave no vector: it matches nobody. So a face that is not found costs
accuracy in genuine pairs, and none in the others."""


@dataclass(frozen=True, slots=True)
class Verification:
    """1:1 over the pairs."""

    genuine: int
    impostor: int
    unseen: int
    accuracy: float
    standard_error: float
    folds: tuple[Fold, ...]
    equal_error: EqualError
    tar: tuple[RocPoint, ...]


@dataclass(frozen=True, slots=True)
class CurveRow:
    """A rate of false matches, its threshold, and the genuine pairs that miss it with their 95 % interval. `told`:
    whether enough false matches stand behind it."""

    fmr: float
    threshold: float
    fnmr: float
    interval: tuple[float, float]
    told: bool


@dataclass(frozen=True, slots=True)
class OfAllPairs:
    """Over all pairs of the folder's photos."""

    genuine: int
    impostor: int
    equal_error: EqualError | None
    rows: tuple[CurveRow, ...]


@dataclass(frozen=True, slots=True)
class OpenSet:
    """1:N over `splits` draws; `applied` is the product's own threshold at that gallery, and what comes of it."""

    gallery: int
    probes: int
    strangers: int
    splits: int
    rank_one_misses: float
    points: tuple[OpenSetPoint, ...]
    applied: AppliedThreshold
    at_applied: OpenSetAt


@dataclass(frozen=True, slots=True)
class Rejection:
    """Error versus reject by each quality at the product's threshold; `failures` of `pairs` genuine pairs miss it."""

    threshold: float
    pairs: int
    failures: int
    curves: dict[str, RejectCurve]


@dataclass(frozen=True, slots=True)
class Source:
    """What was looked at, and with which networks (role -> identity)."""

    folder: str
    pairs_from: str
    face: FaceChoice
    networks: dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """All figures; those that the photos cannot tell are None, and `missing` says why."""

    source: Source
    photos: int
    people: int
    no_face: int
    unreadable: int
    several_faces: int
    verification: Verification | None
    all_pairs: OfAllPairs
    open_set: OpenSet | None
    rejection: Rejection | None
    missing: dict[str, str] = field(default_factory=dict)


def measure(
    source: Source, people: dict[Path, str], pairs: Sequence[Pair], seen: SeenSet, models: ModelSet
) -> tuple[Report, AllPairs]:
    """All figures of a seen set, and the scores of all pairs of the people's photos.

    Args:
        source: goes into the report.
        people: the person in each photo of the folder.
        pairs: of the verification; their photos may be others.
        seen: the photos of both.
        models: whose thresholds the product would take.
    """
    numbers = {name: number for number, name in enumerate(sorted(set(people.values())))}
    of_people = seen.only(path for path in people if path in seen.rows)
    whose = np.array([numbers[people[path]] for path in of_people.rows], np.int64)
    scored = score_all_pairs(of_people.vectors, whose)
    missing: dict[str, str] = {}

    def unless_missing(name: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except ValueError as error:
            missing[name] = str(error)
            return None

    searches = unless_missing("open set", lambda: open_set(of_people, whose, models.embedder))
    applied = searches.applied if searches else search_threshold(Policy(), models.embedder, len(numbers))
    report = Report(
        source,
        len(seen.rows) + seen.no_face + seen.unreadable,
        len(numbers),
        seen.no_face,
        seen.unreadable,
        seen.several_faces,
        unless_missing("1:1", lambda: verification(pairs, seen)),
        of_all_pairs(scored.scores),
        searches,
        unless_missing("error versus reject", lambda: rejection(scored, of_people, applied.cosine)),
        missing,
    )
    return report, scored


def scores_of_pairs(pairs: Sequence[Pair], seen: SeenSet) -> Vector:
    """The score of each pair, `UNSEEN` where a photo gave no vector."""
    scores = np.full(len(pairs), UNSEEN, np.float32)
    for i, pair in enumerate(pairs):
        first, second = seen.rows.get(pair.first), seen.rows.get(pair.second)
        if first is not None and second is not None:
            scores[i] = seen.vectors[first] @ seen.vectors[second]
    return scores


def verification(pairs: Sequence[Pair], seen: SeenSet) -> Verification:
    """1:1 figures of the pairs.

    Raises:
        ValueError: a kind of pair is missing, or there are fewer than two folds.
    """
    values = scores_of_pairs(pairs, seen)
    same = np.array([pair.same for pair in pairs])
    folded = folded_accuracy(values, same, np.array([pair.fold for pair in pairs], np.int64))
    scores = scores_of(values[same], values[~same])
    return Verification(
        int(same.sum()),
        int((~same).sum()),
        int((values == UNSEEN).sum()),
        folded.accuracy,
        folded.standard_error,
        folded.folds,
        equal_error(scores),
        roc(scores, FARS),
    )


def of_all_pairs(scores: Scores) -> OfAllPairs:
    """The figures of all pairs; rates without a single false match to tell them are left out."""
    genuine = len(scores.genuine)
    rows = []
    for fmr in RATES if genuine else ():
        if fmr * scores.impostor_count >= 1:
            threshold = scores.threshold_at_fmr(fmr)
            missed = scores.false_non_matches(threshold)
            interval = wilson(missed, genuine)
            rows.append(CurveRow(fmr, threshold, missed / genuine, interval, is_measurable(scores.impostor_count, fmr)))
    both = genuine and scores.impostor_count
    return OfAllPairs(genuine, scores.impostor_count, equal_error(scores) if both else None, tuple(rows))


def open_set(seen: SeenSet, people: np.ndarray, embedder: Embedder) -> OpenSet:
    """1:N figures; raises ValueError where the people do not make an open set."""
    splits = [draw_split(people, seed) for seed in range(SPLITS)]
    searches = [search(seen.vectors, split) for split in splits]
    gallery, strangers = len(splits[0].gallery), len(splits[0].strangers)
    applied = search_threshold(Policy(), embedder, gallery)
    return OpenSet(
        gallery,
        len(splits[0].probes),
        strangers,
        SPLITS,
        rank_one_misses(searches),
        tuple(at_fpir(searches, fpir) for fpir in FPIRS if fpir * strangers >= 1),
        applied,
        at_threshold(searches, applied.cosine),
    )


def rejection(pairs: AllPairs, seen: SeenSet, threshold: float) -> Rejection:
    """Error versus reject of all genuine pairs; raises ValueError where there is none."""
    curves = {
        name: reject_curve(
            pairs.genuine_scores, pair_quality(seen.qualities[:, i], pairs.genuine_pairs), threshold, REJECTED
        )
        for i, name in enumerate(QUALITIES)
    }
    return Rejection(threshold, len(pairs.genuine_scores), int((pairs.genuine_scores < threshold).sum()), curves)

"""The figures of `bench.accuracy`, from vectors and labels to values; nothing is printed here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.face_sets import Pair
from bench.label_doubts import LISTED, LabelDoubts, doubt_labels, few_a_person
from bench.promise import Promise, keeps_promise
from bench.seen_set import QUALITIES, SeenSet
from contract.vectors import Vector
from engine.evaluation.curve import RATES, is_measurable
from engine.evaluation.folds import Fold, folded_accuracy
from engine.evaluation.labels import WrongLabels, without_wrong_labels
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
    """A rate of false matches, its threshold, and the share of the counted genuine pairs that miss it.

    Attributes:
        fmr: the rate.
        threshold: the cosine.
        fnmr: of at most `PAIRS_A_PERSON` pairs a person.
        interval: of `fnmr`, the Wilson interval at 95 %.
        told: whether enough false matches stand behind the rate.
        fnmr_of_all: of all genuine pairs, of which a few people have most.
        clean_threshold: without the pairs with likely wrong labels.
        clean_fnmr: like `fnmr`, without these pairs and at that threshold.
    """

    fmr: float
    threshold: float
    fnmr: float
    interval: tuple[float, float]
    told: bool
    fnmr_of_all: float
    clean_threshold: float
    clean_fnmr: float


@dataclass(frozen=True, slots=True)
class OfAllPairs:
    """Over all pairs of the folder's photos. `counted`: the genuine pairs, at most `PAIRS_A_PERSON` a person, that the
    figures count. `largest_share`: the share of all genuine pairs that the person with most has."""

    genuine: int
    counted: int
    largest_share: float
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
    doubts: LabelDoubts
    open_set: OpenSet | None
    promise: Promise
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
    scored = score_all_pairs(of_people.vectors, whose, suspects=LISTED)
    doubts = doubt_labels(scored, list(of_people.rows), Path(source.folder), models.embedder.fmr_curve)
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
        of_all_pairs(scored, whose, doubts.rule),
        doubts,
        searches,
        keeps_promise(of_people.vectors, whose, scored.scores, models.embedder),
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


def of_all_pairs(scored: AllPairs, people: np.ndarray, wrong: WrongLabels) -> OfAllPairs:
    """The figures of all pairs; rates without a single false match to tell them are left out."""
    every = scored.scores
    genuine = len(every.genuine)
    counts = few_a_person(scored.genuine_pairs, people)
    scores = Scores(np.sort(scored.genuine_scores[counts]), every.impostor, every.impostor_count)
    low = 0 if wrong.same_below is None or not genuine else scores.false_non_matches(wrong.same_below)
    clean = without_wrong_labels(scores, replace(wrong, low=low))
    rows = []
    for fmr in RATES if len(clean.genuine) else ():
        if fmr * clean.impostor_count >= 1:
            threshold, without = scores.threshold_at_fmr(fmr), clean.threshold_at_fmr(fmr)
            missed = scores.false_non_matches(threshold)
            interval = wilson(missed, len(scores.genuine))
            told = is_measurable(scores.impostor_count, fmr)
            of_all = every.fnmr(threshold)
            rows.append(
                CurveRow(fmr, threshold, scores.fnmr(threshold), interval, told, of_all, without, clean.fnmr(without))
            )
    both = genuine and scores.impostor_count
    most = np.bincount(people[scored.genuine_pairs[:, 0]]).max() / genuine if genuine else 0.0
    return OfAllPairs(
        genuine,
        len(scores.genuine),
        float(most),
        scores.impostor_count,
        equal_error(scores) if both else None,
        tuple(rows),
    )


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

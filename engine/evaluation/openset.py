"""Open-set identification 1:N: people who are enrolled and strangers both search a gallery.

Terms of NIST's FRVT 1:N (Grother, Ngan, Hanaoka, NISTIR 8271) at rank 1: the false negative identification rate (FNIR)
is the share of searches for an enrolled person in which that person is not first, or is first below the threshold; the
false positive identification rate (FPIR) the share of searches by strangers in which anybody reaches the threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector
from engine.evaluation.scores import Scores

NEVER = np.float32(-2.0)
"""The score of a search in which the enrolled person was not ranked first: below any threshold."""

LEAST_STRANGER_SHARE = 0.25
"""The least share of strangers among all people. Strangers are people with one photo; where these are too few, people
with several photos are drawn to be strangers too."""

_BLOCK_SEARCHES = 512


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Numbers of rows of the vectors: `gallery` has one row per enrolled person, `probes` another row of each of these
    people in the same order, `strangers` one row per stranger."""

    gallery: NDArray[np.int64]
    probes: NDArray[np.int64]
    strangers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenSetPoint:
    """The FNIR at a given FPIR: mean and standard deviation over the splits.

    `threshold` and `false_positives` (the number of strangers who reach the threshold) are means over the splits.
    """

    fpir: float
    threshold: float
    fnir: float
    fnir_deviation: float
    false_positives: float


@dataclass(frozen=True, slots=True)
class OpenSetAt:
    """FPIR and FNIR at a given threshold: means and standard deviations over the splits."""

    threshold: float
    fpir: float
    fpir_deviation: float
    fnir: float
    fnir_deviation: float


def draw_split(people: NDArray[np.int64], seed: int) -> Split:
    """Return a gallery, its probes and strangers, drawn at random with that seed.

    `people` gives the number of the person in each row. A person with several photos is enrolled with one photo and
    searched for with another; a person with one photo is a stranger. Where strangers are too few, people with several
    photos are drawn to be strangers.

    Raises:
        ValueError: nobody could be enrolled, or nobody would be a stranger.
    """
    chance = np.random.default_rng(seed)
    shuffled = chance.permutation(len(people))
    _, first = np.unique(people[shuffled], return_index=True)
    left = np.setdiff1d(np.arange(len(people)), first)
    several, second = np.unique(people[shuffled[left]], return_index=True)
    one_of_each = shuffled[first]
    enrolled = np.isin(people[one_of_each], several)
    missing = int(np.ceil(LEAST_STRANGER_SHARE * len(first))) - int((~enrolled).sum())
    if missing > 0:
        moved = chance.permutation(np.flatnonzero(enrolled))[:missing]
        enrolled[moved] = False
    gallery, strangers = one_of_each[enrolled], one_of_each[~enrolled]
    if not len(gallery) or not len(strangers):
        raise ValueError("an open set needs people with several photos, and others who are strangers")
    # The gallery and the probes are both in the order of the people's numbers.
    probes = shuffled[left][second]
    return Split(gallery, probes[np.isin(several, people[gallery])], strangers)


def search(vectors: Vector, split: Split) -> Scores:
    """Return the scores of the searches of a split, whose FNMR and FMR are the FNIR and FPIR of the split.

    Genuine scores: the score of the enrolled person in each search, or `NEVER` where that person was not ranked first.
    Impostor scores: the highest score of each search by a stranger.
    """
    gallery = vectors[split.gallery]
    mates = np.empty(len(split.probes), np.float32)
    for start in range(0, len(split.probes), _BLOCK_SEARCHES):
        rows = np.arange(start, min(start + _BLOCK_SEARCHES, len(split.probes)))
        scores = vectors[split.probes[rows]] @ gallery.T
        mate = scores[np.arange(len(rows)), rows]
        mates[rows] = np.where(mate >= scores.max(axis=1), mate, NEVER)
    best = [
        (vectors[split.strangers[start : start + _BLOCK_SEARCHES]] @ gallery.T).max(axis=1)
        for start in range(0, len(split.strangers), _BLOCK_SEARCHES)
    ]
    strangers = np.sort(np.concatenate(best))
    return Scores(np.sort(mates), strangers, len(strangers))


def at_fpir(searches: list[Scores], fpir: float) -> OpenSetPoint:
    """Return the FNIR at that FPIR over the splits, each with its own threshold."""
    thresholds = [scores.threshold_at_fmr(fpir) for scores in searches]
    fnirs = np.array([s.fnmr(t) for s, t in zip(searches, thresholds, strict=True)])
    positives = np.mean([s.false_matches(t) for s, t in zip(searches, thresholds, strict=True)])
    return OpenSetPoint(fpir, float(np.mean(thresholds)), float(fnirs.mean()), float(fnirs.std()), float(positives))


def at_threshold(searches: list[Scores], threshold: float) -> OpenSetAt:
    """Return the FPIR and FNIR at that threshold over the splits."""
    fpirs = np.array([scores.fmr(threshold) for scores in searches])
    fnirs = np.array([scores.fnmr(threshold) for scores in searches])
    return OpenSetAt(threshold, float(fpirs.mean()), float(fpirs.std()), float(fnirs.mean()), float(fnirs.std()))


def rank_one_misses(searches: list[Scores]) -> float:
    """Return the mean share of searches in which the enrolled person was not ranked first, whatever the threshold."""
    return float(np.mean([np.mean(scores.genuine <= NEVER) for scores in searches]))

"""Whether searches keep `matching.target_fpir`: FPIR and FNIR of the shipped threshold in galleries of several sizes.

A search compares the faces of its group only, and the threshold is by their number. So a drawn gallery of 30 people
stands for a group of 30 within a larger gallery, whose other people are strangers to the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector
from engine.evaluation.curve import identification_fpir
from engine.evaluation.scores import Z_95, Scores
from engine.policy import Policy
from engine.threshold import AppliedThreshold, Calibrated, search_threshold

SIZES = (30, 100, 300, 1_000, 3_000)
TARGETS = (1e-2, 3e-3, 1e-3)
DRAWS = 200

LEAST_STRANGERS = 100
"""A size is left out where fewer strangers remain, or fewer than half as many as the gallery has faces."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the threshold for `target` keeps among `faces`, over all draws together.

    Attributes:
        applied: the threshold, and the rule that decided it.
        fpir: the share of searches by strangers in which somebody reached the threshold.
        fpir_interval: 95 %, by the infinitesimal jackknife over people: each person's influence on the rate, as a
            stranger and as an enrolled face. In simulations its width was 1.2 to 1.5 times the right one; where only
            a few pairs of people pass the threshold, it is still unreliable (none gives a width of 0).
        fpir_deviation: the standard deviation between draws.
        fpir_of_pairs: the FPIR that the rate of false matches of all pairs of photos would give.
        fnir: the share of searches for an enrolled person that failed.
        fnir_interval: 95 %, by the infinitesimal jackknife over people.
        fnir_deviation: the standard deviation between draws.
    """

    faces: int
    target: float
    applied: AppliedThreshold
    fpir: float
    fpir_interval: tuple[float, float]
    fpir_deviation: float
    fpir_of_pairs: float
    fnir: float | None
    fnir_interval: tuple[float, float] | None
    fnir_deviation: float | None


@dataclass(frozen=True, slots=True)
class Promise:
    """All sizes and targets, and the sizes that the set is too small for."""

    draws: int
    kept: tuple[Kept, ...]
    skipped: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """One gallery. The people and scores of the searches by strangers, with the person found; and of the searches for
    enrolled people, with a score of -2 where another person was first."""

    strangers: NDArray[np.int64]
    found: NDArray[np.int64]
    highest: Vector
    enrolled: NDArray[np.int64]
    mates: Vector


def keeps_promise(
    vectors: Vector,
    people: NDArray[np.int64],
    scores: Scores,
    embedder: Calibrated,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
) -> Promise:
    """Return what the shipped rule keeps.

    Args:
        vectors: a unit vector per photo, n x dimension float32.
        people: the number of the person in each photo, 0 and up, n int64.
        scores: of all pairs of these photos.
        embedder: whose curve decides the thresholds.
        sizes: of the galleries.
        draws: how many galleries of each size are drawn.
    """
    count = int(people.max()) + 1
    kept: list[Kept] = []
    skipped = [faces for faces in sizes if count - faces < max(LEAST_STRANGERS, faces / 2)]
    for faces in sizes:
        if faces in skipped:
            continue
        drawn = [_draw(vectors, people, faces, seed) for seed in range(draws)]
        kept += [_kept(drawn, faces, target, count, scores, embedder) for target in TARGETS]
    return Promise(draws, tuple(kept), tuple(skipped))


def _draw(vectors: Vector, people: NDArray[np.int64], faces: int, seed: int) -> _Draw:
    chance = np.random.default_rng(seed)
    photos = chance.permutation(len(people))
    names, first = np.unique(people[photos], return_index=True)
    rest = np.delete(photos, first)
    others, second = np.unique(people[rest], return_index=True)
    chosen = np.sort(chance.permutation(len(names))[:faces])
    gallery, enrolled = photos[first[chosen]], names[chosen]
    strangers = np.delete(photos[first], chosen)
    searched = np.isin(others, enrolled)
    probes, whom = rest[second[searched]], others[searched]
    by_strangers = vectors[strangers] @ vectors[gallery].T
    for_enrolled = vectors[probes] @ vectors[gallery].T
    mates = for_enrolled[np.arange(len(probes)), np.searchsorted(enrolled, whom)]
    first_of_all = mates >= for_enrolled.max(axis=1, initial=-2.0)
    return _Draw(
        people[strangers],
        enrolled[by_strangers.argmax(axis=1)],
        by_strangers.max(axis=1),
        whom,
        np.where(first_of_all, mates, np.float32(-2.0)),
    )


def _kept(drawn: Sequence[_Draw], faces: int, target: float, count: int, scores: Scores, embedder: Calibrated) -> Kept:
    applied = search_threshold(Policy(target_fpir=target), embedder, faces)
    wrong = [draw.highest >= applied.cosine for draw in drawn]
    missed = [draw.mates < applied.cosine for draw in drawn]
    fpir = float(np.mean(np.concatenate(wrong)))
    involved = np.zeros(count)
    for draw, which in zip(drawn, wrong, strict=True):
        np.add.at(involved, draw.strangers[which], 1.0)
        np.add.at(involved, draw.found[which], 1.0)
    fnir = fnir_interval = fnir_deviation = None
    searches, misses = np.zeros(count), np.zeros(count)
    for draw, which in zip(drawn, missed, strict=True):
        np.add.at(searches, draw.enrolled, 1.0)
        np.add.at(misses, draw.enrolled[which], 1.0)
    if searches.any():
        fnir = float(misses.sum() / searches.sum())
        error = float(np.sqrt(np.sum((misses - fnir * searches) ** 2)) / searches.sum())
        fnir_interval = _interval(fnir, error)
        fnir_deviation = float(np.std([which.mean() for which in missed if len(which)]))
    return Kept(
        faces,
        target,
        applied,
        fpir,
        _interval(fpir, fpir * _relative_error(involved)),
        float(np.std([which.mean() for which in wrong])),
        identification_fpir(scores.fmr(applied.cosine), faces),
        fnir,
        fnir_interval,
        fnir_deviation,
    )


def _relative_error(involved: NDArray[np.float64]) -> float:
    """Return the relative standard error of a rate over pairs of people, from the number of errors that involve each.

    The rate is a U-statistic of degree two (Hoeffding 1948): a person's influence is twice the deviation of the
    person's own rate from the mean.
    """
    mean = involved.mean()
    return float(2 * np.sqrt(np.sum((involved / mean - 1) ** 2)) / len(involved)) if mean else 0.0


def _interval(rate: float, error: float) -> tuple[float, float]:
    return max(0.0, rate - Z_95 * error), min(1.0, rate + Z_95 * error)

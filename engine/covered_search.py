"""The search among templates of covered faces: what a match does where the whole faces have recognised nobody. Pure.

Nothing has to recognise that a face is covered. The templates of each cover have a curve of false match rates of their
own, measured with covered strangers, and a face without a cover stays far below it. So these templates may be compared
whenever nobody was recognised, and they never take away a person whom the templates of whole faces recognise.
"""

from collections.abc import Iterator
from typing import NamedTuple

from contract.terms import COVERS, Cover
from contract.vectors import Vector
from engine.gallery.people import Snapshot
from engine.gallery.port import Candidate, Scope
from engine.policy import Policy
from engine.threshold import AppliedThreshold, CoverCalibrated, covered_threshold, threshold_at

NEAR_FMR = 1e-2
"""Only people whose template of the whole face has at least the cosine of this false match rate are compared: about one
in a hundred of the gallery. Nobody who would have been recognised on LFW was less near (docs/accuracy.md)."""


class CoveredThreshold(NamedTuple):
    """The threshold of the templates of one cover."""

    cover: Cover
    threshold: AppliedThreshold


class CoveredMatch(NamedTuple):
    """The nearest people by their templates of covered faces, of whom the first has reached the threshold."""

    threshold: AppliedThreshold
    candidates: list[Candidate]


def covered_thresholds(policy: Policy, embedder: CoverCalibrated, faces: int) -> Iterator[CoveredThreshold]:
    """Yield the thresholds of the covers in the order in which they are compared; none where covers are not in use."""
    for cover in COVERS:
        threshold = covered_threshold(policy, embedder, cover, faces)
        if threshold is not None:
            yield CoveredThreshold(cover, threshold)


def near_enough(embedder: CoverCalibrated) -> float:
    """Return the cosine to the template of the whole face from which on a person's covered templates are compared."""
    return threshold_at(embedder.fmr_curve, NEAR_FMR)


def covered_match(
    probe: Vector, scope: Scope, snapshot: Snapshot, policy: Policy, embedder: CoverCalibrated, most: int
) -> CoveredMatch | None:
    """Return the match by the first cover of whose templates one reaches its threshold; None: none does.

    `probe`: the unit vector of a face by which nobody was recognised. `most`: the most candidates that are returned.
    """
    if not snapshot.covered:
        return None
    thresholds = list(covered_thresholds(policy, embedder, snapshot.gallery.count(scope)))
    people = snapshot.gallery.above(probe, scope, near_enough(embedder)) if thresholds else ()
    for cover, threshold in thresholds:
        candidates = snapshot.covered.nearest(cover, probe, people)[:most]
        if candidates and candidates[0].cosine >= threshold.cosine:
            return CoveredMatch(threshold, list(candidates))
    return None

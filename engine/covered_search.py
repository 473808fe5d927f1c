"""The search among templates of covered faces: what a match does where the whole faces have recognised nobody. Pure.

Nothing has to recognise that a face is covered. The templates of each cover have a curve of false match rates of their
own, measured with covered strangers, and a face without a cover stays far below it. So these templates may be compared
whenever nobody was recognised, and they never take away a person whom the templates of whole faces recognise.
"""

from collections.abc import Sequence
from typing import NamedTuple

from contract.terms import COVERS
from contract.vectors import Vector
from engine.gallery.people import Snapshot
from engine.gallery.port import Candidate, Search
from engine.policy import Policy
from engine.threshold import AppliedThreshold, CoverCalibrated, covered_threshold, search_threshold, threshold_at

NEAR_FMR = 1e-2
MOST_NEAR = 100
"""Only people whose template of the whole face has at least the cosine of the false match rate `NEAR_FMR` are compared:
about one in a hundred of the gallery, and in a large gallery about `MOST_NEAR`. On LFW that costs less than one search
in a hundred (docs/accuracy.md)."""


class CoveredMatch(NamedTuple):
    """The nearest people by their templates of covered faces, of whom the first has reached the threshold."""

    threshold: AppliedThreshold
    candidates: Sequence[Candidate]

    @property
    def margin(self) -> float:
        """By how much the cosine of the nearest person is above the threshold of the cover."""
        return self.candidates[0].cosine - self.threshold.cosine


class SearchLimits(NamedTuple):
    """The limits of one search.

    `whole`: the threshold of the templates of whole faces. `covered`: those of the covers, in the order that decides
    between equal margins (`better_cover`); empty where covers are not in use. `near`: as `near_enough` returns it.
    """

    whole: AppliedThreshold
    covered: Sequence[AppliedThreshold]
    near: float


def search_limits(policy: Policy, embedder: CoverCalibrated, faces: int) -> SearchLimits:
    """Return the limits of a search among `faces` templates."""
    covered = covered_thresholds(policy, embedder, faces)
    near = near_enough(embedder, faces) if covered else 1.0
    return SearchLimits(search_threshold(policy, embedder, faces), covered, near)


def covered_thresholds(policy: Policy, embedder: CoverCalibrated, faces: int) -> Sequence[AppliedThreshold]:
    """Return the thresholds of the covers in the order in which they are compared; none where covers are not in use."""
    found = (covered_threshold(policy, embedder, cover, faces) for cover in COVERS)
    return [threshold for threshold in found if threshold is not None]


def near_enough(embedder: CoverCalibrated, faces: int) -> float:
    """Return the cosine to the template of the whole face from which on a person's covered templates are compared.

    `faces`: the number of faces of the search.
    """
    return threshold_at(embedder.fmr_curve, min(NEAR_FMR, MOST_NEAR / max(faces, 1)))


def covered_match(
    probe: Vector, search: Search, snapshot: Snapshot, thresholds: Sequence[AppliedThreshold], near: float
) -> CoveredMatch | None:
    """Return the match by the cover that `better_cover` chooses of those whose templates reach their thresholds; None:
    none does.

    `probe`: the unit vector of a face by which nobody was recognised. `search`: its search in the gallery of the
    snapshot, so that the faces are not compared a second time. `near`: as `near_enough` returns it.
    """
    if not thresholds or not snapshot.covered:
        return None
    people = search.above(near)
    found = (
        CoveredMatch(threshold, snapshot.covered.nearest(threshold.cover, probe, people, threshold.cosine))
        for threshold in thresholds
        if threshold.cover is not None
    )
    return better_cover([match for match in found if match.candidates])


def better_cover(matches: Sequence[CoveredMatch]) -> CoveredMatch | None:
    """Return the match with the largest margin over its own threshold; of equal margins the first; None: there is none.

    Each cover has a threshold of its own, so the cosines of two covers cannot be compared, and their margins can.
    `matches`: in the order of the search, each with at least one candidate. Replays and explanations choose by this
    function, too.
    """
    return max(matches, key=lambda match: match.margin, default=None)

"""Compares recorded embeddings with the templates of covered faces, as engine.covered_search does. Pure."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np

from capture.replaying.candidates import HALF_PRECISION, is_certain, join_candidates, rounding_of
from capture.replaying.plan import Case
from capture.replaying.searches import probes_of
from capture.replaying.thresholds import covered_thresholds_now, threshold_now
from contract.captures.values import CapturedDecision
from contract.terms import STRANGER
from contract.vectors import Vector
from engine.calls.matching import CANDIDATES, MatchDecision
from engine.covered_search import CoveredMatch, SearchLimits, better_cover, near_enough
from engine.gallery.port import Candidate, Gallery, Scope
from engine.policy import Policy
from engine.threshold import AppliedThreshold, CoverCalibrated, search_threshold


class CoveredFound(NamedTuple):
    """The match by templates of covered faces, None where there is none, and whether half precision cannot have
    changed that."""

    match: CoveredMatch | None = None
    is_certain: bool = True


NOT_COMPARED = CoveredFound()


def may_be_covered(case: Case, whole: MatchDecision) -> bool:
    """Return whether the templates of covered faces are to be compared; `whole`: the decision by those of whole faces.

    Where nothing has changed and covered faces decided then, nobody was recognised by the whole face: a cosine that
    half precision has moved to the threshold does not count.
    """
    if whole.outcome == STRANGER:
        return True
    if case.cover is None or not case.is_unchanged or whole.candidate is None:
        return False
    return whole.candidate.cosine < whole.threshold.cosine + HALF_PRECISION


def find_covered(
    case: Case, scope: Scope, thresholds: Sequence[AppliedThreshold], embedder: CoverCalibrated | None
) -> CoveredFound:
    """Return the match by the cover that a search chooses (engine.covered_search.better_cover).

    A recorded candidate whose cosine comes out again counts with the recorded cosine (`join_candidates`). Where nothing
    has changed, and a cover did not decide then, it decides now only if half precision cannot be the reason. Where
    something has changed, covers whose margins are nearer to each other than half precision can move them are not
    certain.

    Args:
        case: has an embedding, by which nobody was recognised among the whole faces of `scope`.
        thresholds: the thresholds of the covers, in the order of the search.
        embedder: the facts about the embedder; None: not known, so that only recorded candidates are compared.
    """
    if not thresholds or not case.now.covered:
        return NOT_COMPARED
    probe: Vector = probes_of([case])[0]
    half = case.then.embedding is not None
    within = rounding_of(np.frombuffer(case.then.embedding or b"", np.dtype("<f2"))) if half else 0.0
    people, certain = _people(case, probe, scope, embedder), True
    matches = list[CoveredMatch]()
    for threshold in thresholds:
        if threshold.cover is None:
            continue
        recorded = case.then.candidates if threshold.cover == case.cover else ()
        computed = case.now.covered.nearest(threshold.cover, probe, people)
        joined = join_candidates(recorded, computed, same_people=case.same_people, within=within or HALF_PRECISION)
        if not case.is_unchanged and half:
            certain &= is_certain(recorded, computed, threshold.cosine, within, names_strangers=False)
        missing = within if case.is_unchanged and not recorded else 0.0
        if joined and joined[0].cosine >= threshold.cosine + missing:
            matches.append(CoveredMatch(threshold, joined[:CANDIDATES]))
    found = better_cover(matches)
    moved = within if case.is_unchanged else 2 * within  # of an unchanged one, one margin has the recorded cosine
    near = [match for match in matches if found is not None and match.margin >= found.margin - moved]
    if case.is_unchanged:
        return CoveredFound(next((match for match in near if match.threshold.cover == case.cover), found), certain)
    return CoveredFound(found, certain and (not half or len(near) <= 1))


def limits_now(
    then: CapturedDecision,
    before: Policy,
    policy: Policy,
    probe: Vector | None,
    scope: Scope,
    gallery: Gallery,
    embedder: CoverCalibrated,
) -> SearchLimits:
    """Return the limits of a search under `policy`: those of then, as long as nothing that moves them has changed.

    `before`: the policy of then. `probe`: the unit vector that is searched for; None: no face has one.
    """
    faces = gallery.count(scope)
    whole = threshold_now(then, before, policy, faces, embedder) or search_threshold(policy, embedder, faces)
    covered = covered_thresholds_now(then, before, policy, faces, embedder)
    near = near_now(then, probe, scope, gallery, embedder) if covered and probe is not None else 1.0
    return SearchLimits(whole, covered, near)


def near_now(then: CapturedDecision, probe: Vector, scope: Scope, gallery: Gallery, embedder: CoverCalibrated) -> float:
    """Return the cosine to the template of the whole face from which on a person's covered templates are compared.

    Where a cover decided then, it is at most that of the person who was nearest then: the curve of the embedder, from
    which it is computed, may have been measured anew since.
    """
    near = near_enough(embedder, gallery.count(scope))
    if then.applied is None or then.applied.cover is None or not then.candidates:
        return near
    who = {then.candidates[0].identity_id}
    people = _above(gallery, probe, scope, near, who)
    return min([near, *(one.cosine for one in people if one.person.identity_id in who)])


def _above(
    gallery: Gallery, probe: Vector, scope: Scope, cosine: float, known: AbstractSet[str]
) -> Sequence[Candidate]:
    """Return every person with at least that cosine; where some of the `known` people are not among them, everybody."""
    found = gallery.above(probe, scope, cosine)
    if known <= {one.person.identity_id for one in found}:
        return found
    return gallery.above(probe, scope, -1.0)


def _people(case: Case, probe: Vector, scope: Scope, embedder: CoverCalibrated | None) -> Sequence[Candidate]:
    """Return the people of the scope whose templates of covered faces are compared.

    Where nothing has changed, the recorded candidates are, and nobody else who is near only by half precision.
    """
    recorded = {c.identity_id for c in case.then.candidates} if case.cover is not None else set[str]()
    near = -1.0 if embedder is None else near_enough(embedder, case.now.gallery.count(scope))
    least = max(near - HALF_PRECISION, -1.0)
    enough = np.inf if embedder is None else least + (2 if case.is_unchanged else 1) * HALF_PRECISION
    found = _above(case.now.gallery, probe, scope, least, recorded)
    return [one for one in found if one.cosine >= enough or one.person.identity_id in recorded]

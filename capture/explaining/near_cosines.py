"""What follows from a look where cosines are so near to a threshold that another machine decides otherwise. Pure.

A cosine that is at its threshold is put to the recorded side of it. A search has stages: the templates of whole faces,
and then, where these recognise nobody, those of each cover (engine.covered_search). The record names the stage that
decided and its cosines; of a stage before it, and of all others where nobody was recognised, it says that no cosine
reached the threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from capture.explaining.deciding import Decider, resolved_in
from capture.explaining.differing import BETWEEN_MACHINES, is_close
from capture.explaining.proposals import named
from contract.captures.values import CapturedDecision
from contract.errors import Refusal
from contract.evidence import EvidenceCandidate
from contract.findings import MatchedFace
from contract.terms import STRANGER, Cover
from contract.vectors import Vector
from engine.calls.matching import (
    CANDIDATES,
    RECOGNISED,
    MatchDecision,
    about_only_face,
    conclude_several,
    conclude_under,
)
from engine.calls.several import SearchedFace
from engine.covered_search import CoveredMatch, SearchLimits, better_cover, covered_match
from engine.gallery.port import Candidate
from engine.gallery.scope import ResolvedScope
from engine.threshold import AppliedThreshold


@dataclass(frozen=True, slots=True, eq=False)
class WithCosines:
    """The decision that follows from the recorded cosines.

    `measured`: about the same face and by the same templates, with the cosines of the look: what was measured is
    compared with it. `remark`: the cosine that decided, in a sentence; None: those of the look decide the same.
    """

    measured: MatchDecision
    decision: MatchDecision
    remark: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Record:
    """What was recorded about the people nearest to a face.

    `recognised`: the nearest one reached the threshold. `cover`: the cover that decided; None: none did. `says_cover`:
    that is recorded; it is so of the face that the answer is about, and of the others only that nobody was recognised.
    """

    candidates: Sequence[EvidenceCandidate]
    identity_id: str
    recognised: bool
    cover: Cover | None
    says_cover: bool = True

    def is_of(self, threshold: AppliedThreshold) -> bool:
        """Return whether the record is of the stage of a search that has a threshold, as far as it says that."""
        return threshold.cover == self.cover if self.says_cover else self.recognised


def with_recorded_cosines(decider: Decider, looked: MatchDecision) -> WithCosines:
    """Return the decision that follows from the recorded cosines; that of the look where no other one follows."""
    same, resolved = WithCosines(looked, looked), resolved_in(decider.inputs)
    if isinstance(resolved, Refusal):
        return same
    if len(looked.searched) > 1:
        return _several(decider, resolved, looked) or same
    if looked.probe is None or looked.refusal is not None or looked.candidate is None:
        return same
    limits = decider.limits(decider.inputs, resolved.scope, looked.probe)
    searched = _searched_again(decider, resolved, limits, looked.probe, _record_of(decider.then.decision))
    if searched is None or _result(searched[0]) == _result(looked):
        return same
    again, found = searched
    if looked.searched:
        again = about_only_face(again, looked.searched[0])
    decision = replace(
        again,
        findings=looked.findings,
        pictures=looked.pictures,
        probe=looked.probe,
        timings_ms=looked.timings_ms,
    )
    return WithCosines(replace(decision, candidates=found), decision, _remark(looked, again))


def _searched_again(
    decider: Decider, resolved: ResolvedScope, limits: SearchLimits | None, probe: Vector, record: _Record
) -> tuple[MatchDecision, Sequence[Candidate]] | None:
    """Return the decision of a search with the recorded cosines, and the people whom it found with those of the look;
    None: it cannot be made, or nobody is in the scope."""
    inputs, snapshot = decider.inputs, decider.inputs.snapshot
    search = snapshot.gallery.search(probe, resolved.scope)
    whole = search.best(CANDIDATES)
    if limits is None or not whole:
        return None

    def concluded(threshold: AppliedThreshold, found: Sequence[Candidate]) -> MatchDecision:
        ranked = _as_recorded(record, found, threshold)
        return conclude_under(threshold, inputs.request, resolved, ranked, snapshot.site, inputs.policy)

    decision = concluded(limits.whole, whole)
    if decision.outcome != STRANGER:
        return decision, whole
    found = dict[AppliedThreshold, Sequence[Candidate]]()
    covers = list[CoveredMatch]()
    for threshold in limits.covered:
        lower = replace(threshold, cosine=threshold.cosine - BETWEEN_MACHINES)
        match = covered_match(probe, search, snapshot, [lower], limits.near)
        if match is None:
            continue
        found[threshold] = match.candidates[:CANDIDATES]
        ranked = _as_recorded(record, found[threshold], threshold)
        if ranked[0].cosine >= threshold.cosine:
            covers.append(CoveredMatch(threshold, ranked))
    better = better_cover(covers)
    if better is None:
        return decision, whole
    # Of covers whose margins are as near to each other as on two machines, the recorded one decided.
    near = (match for match in covers if is_close(match.margin, better.margin, BETWEEN_MACHINES))
    chosen = next((match for match in near if match.threshold.cover == record.cover), better).threshold
    return concluded(chosen, found[chosen]), found[chosen]


def _several(decider: Decider, resolved: ResolvedScope, looked: MatchDecision) -> WithCosines | None:
    """Return the decision about several faces; None where that of the look follows from the recorded cosines too."""
    inputs, recorded = decider.inputs, decider.then.decision
    if len(recorded.searched) != len(looked.searched):
        return None
    limits = decider.limits(inputs, resolved.scope, looked.probe)
    faces, measured = list(looked.searched), list(looked.searched)
    for place, (face, then) in enumerate(zip(looked.searched, recorded.searched, strict=True)):
        if face.probe is None:
            continue
        searched = _searched_again(decider, resolved, limits, face.probe, _record_of_face(recorded, then))
        if searched is not None:
            again, found = searched
            faces[place] = replace(face, nearest=again.candidates, threshold=again.threshold)
            measured[place] = replace(face, nearest=found, threshold=again.threshold)
    site = inputs.snapshot.site
    again = conclude_several(looked.threshold, inputs.request, resolved, faces, site, inputs.policy)
    other = (
        (before, after)
        for before, after in zip(looked.searched, again.searched, strict=True)
        if _of_face(before) != _of_face(after)
    )
    first = next(other, None)
    if first is None:
        return None
    about = next(face for face, after in zip(measured, again.searched, strict=True) if after.answered)
    before, after = (
        replace(again, threshold=face.threshold or looked.threshold, outcome=face.outcome, candidates=face.nearest)
        for face in first
    )
    again = replace(again, timings_ms=looked.timings_ms)
    return WithCosines(replace(again, candidates=about.nearest), again, _remark(before, after))


def _record_of(recorded: CapturedDecision) -> _Record:
    cover = None if recorded.applied is None else recorded.applied.cover
    return _Record(recorded.candidates, recorded.identity_id, recorded.outcome in RECOGNISED, cover)


def _record_of_face(recorded: CapturedDecision, then: MatchedFace) -> _Record:
    if then.answered:
        return _record_of(recorded)
    recognised = then.outcome in RECOGNISED or then.kept_by_another
    # An event of a version that did not name the cover of a face has None also where a cover decided.
    says_cover = then.cover is not None or not recognised
    return _Record((), then.identity_id, recognised, then.cover, says_cover=says_cover)


def _of_face(face: SearchedFace) -> tuple[object, ...]:
    who = face.nearest[0].person.identity_id if face.nearest else ""
    cover = None if face.threshold is None else face.threshold.cover
    return face.outcome, who, face.answered, face.kept_by_another, cover


def _result(decision: MatchDecision) -> tuple[object, ...]:
    who = "" if decision.candidate is None else decision.candidate.person.identity_id
    return decision.outcome, who, decision.threshold.cover


def _remark(looked: MatchDecision, again: MatchDecision) -> str:
    """Return in a sentence which cosine is at its limit; `again`: the decision with the recorded ones."""
    first, before, after = again.candidate, looked.outcome in RECOGNISED, again.outcome in RECOGNISED
    here = looked.candidate
    if first is None or here is None:
        return "By the record another face is answered, and both are as near to the threshold as two machines differ."
    if before == after and looked.threshold == again.threshold and first.person.identity_id != here.person.identity_id:
        words = f"{named(first.person)} is the nearest person by the record, and {named(here.person)} here"
        return f"{words}; their cosines are as near to each other as two machines differ."
    who, limit = (first, again.threshold.cosine) if after else (here, looked.threshold.cosine)
    words = f"the cosine of {named(who.person)} {'reaches' if after else 'misses'} the threshold"
    return f"By the record {words}, and here not; both are as near to {limit:g} as two machines differ."


def _as_recorded(record: _Record, found: Sequence[Candidate], threshold: AppliedThreshold) -> Sequence[Candidate]:
    """Return the people whom one stage of the search found, with the recorded cosines, the nearest first."""
    limit = threshold.cosine
    if not record.is_of(threshold):
        below = math.nextafter(limit, -1.0)
        return _ranked([replace(c, cosine=below) if _is_at(c, limit) and c.cosine >= limit else c for c in found])
    return _ranked(_recorded_candidates(record, found, limit))


def _is_at(candidate: Candidate, limit: float) -> bool:
    return is_close(candidate.cosine, limit, BETWEEN_MACHINES)


def _ranked(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return sorted(candidates, key=lambda c: (-c.cosine, c.person.identity_id))


def _recorded_candidates(record: _Record, found: Sequence[Candidate], limit: float) -> Sequence[Candidate]:
    """Return the candidates with the recorded cosines, where these are as near as between two machines.

    Without evidence, a cosine at the limit is put to the recorded side of it; whether the recorded score is of that
    side is checked elsewhere (consistency).
    """
    if record.candidates:
        cosines = {candidate.identity_id: candidate.cosine for candidate in record.candidates}
        return [_with_cosine(candidate, cosines.get(candidate.person.identity_id)) for candidate in found]
    first = found[0]
    named_then = next((c for c in found if c.person.identity_id == record.identity_id), first)
    if not is_close(named_then.cosine, first.cosine, BETWEEN_MACHINES):
        named_then = first
    cosine = first.cosine
    if is_close(cosine, limit, BETWEEN_MACHINES):
        cosine = max(cosine, limit) if record.recognised else min(cosine, math.nextafter(limit, -1.0))
    below = math.nextafter(cosine, -1.0)
    others = [replace(c, cosine=min(c.cosine, below)) for c in found if c is not named_then]
    return [replace(named_then, cosine=cosine), *others]


def _with_cosine(candidate: Candidate, recorded: float | None) -> Candidate:
    if recorded is None or not is_close(recorded, candidate.cosine, BETWEEN_MACHINES):
        return candidate
    return replace(candidate, cosine=recorded)

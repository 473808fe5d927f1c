"""PictureMatch: who is the person in a picture, or in several pictures of one passage? The chosen face is compared with
the gallery.

Where a second face is as near, or all faces are wanted, several faces are compared (engine.calls.several); of several
pictures only the chosen faces are (engine.burst).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from msgspec import structs

from contract.answers import MatchAnswer
from contract.errors import Refusal, Refused
from contract.events import Event
from contract.evidence import Evidence, EvidenceCandidate
from contract.kinds import kind_of
from contract.people.records import PersonRecord
from contract.requests import MatchRequest, StrangerRequest
from contract.terms import STRANGER
from contract.vectors import Vector
from engine.burst import best_of, look_at_burst, passage_pictures
from engine.calls.call import Query
from engine.calls.demands import wanted_of
from engine.calls.matching import (
    CANDIDATES,
    RECOGNISED,
    MatchDecision,
    about_only_face,
    conclude_several,
    conclude_under,
    index_use,
    matched_faces,
    scope_of_refusal,
    shown_candidate,
    shown_of,
)
from engine.calls.reporting import (
    PICTURE_OUTCOMES,
    Circumstances,
    check_results,
    debug_info,
    face_box,
    liveness_result,
    outcome_of,
    picture_size,
    wire_threshold,
)
from engine.calls.several import SearchedFace, faces_of
from engine.context import Context
from engine.covered_search import SearchLimits, covered_match, search_limits
from engine.gallery.people import Snapshot
from engine.gallery.port import Candidate, FaceId
from engine.gallery.scope import ResolvedScope, resolve_scope
from engine.look import Look
from engine.policy import Policy
from engine.strangers import stranger_request
from engine.threshold import search_threshold
from engine.timing import StageTimer


class MatchCall(Query[MatchRequest, MatchDecision]):
    """The kind of call that searches the gallery for the person in a picture."""

    kind = kind_of(MatchRequest)
    event_type = "picturematch.match.v1"
    outcomes = (*RECOGNISED, STRANGER, "spoof", "empty_group", *PICTURE_OUTCOMES)
    request_type = MatchRequest
    searches = True

    def decide(self, request: MatchRequest, snapshot: Snapshot, context: Context) -> MatchDecision:
        """Match one request; no request that a device can send raises an error."""
        policy = context.policy
        try:
            resolved = resolve_scope(request, snapshot.site, policy)
        except Refused as refused:
            return self.refuse(request, refused.refusal, snapshot, context)
        wanted = wanted_of(request, policy, resolved.device)
        burst = look_at_burst(request.pictures, wanted, context)
        found = burst.look
        if found.beside:
            return _decide_several(request, resolved, found, snapshot, context)
        timer = StageTimer(context.clock, dict(found.timings_ms))
        if isinstance(found.embedding, Refusal):
            decision, probe = self.refuse(request, found.embedding, snapshot, context), None
        else:
            probe = found.embedding.vector
            with timer.stage("search"):
                decision = search(probe, request, resolved, snapshot, context)
        if request.match_all_faces and not request.further_pictures and found.findings.face is not None:
            decision = about_only_face(decision, faces_of(found)[0])
        return replace(
            decision,
            findings=found.findings,
            pictures=burst.pictures,
            probe=probe,
            timings_ms=timer.timings_ms,
        )

    def refuse(self, request: MatchRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> MatchDecision:
        """Return the decision that answers a request with that refusal."""
        scope, named = scope_of_refusal(request, snapshot.site, context.policy)
        threshold = search_threshold(context.policy, context.models.embedder, snapshot.gallery.count(scope))
        return MatchDecision(outcome_of(refusal), threshold, named, refusal=refusal)

    def pictures(self, request: MatchRequest) -> Sequence[bytes]:
        """Return the pictures; events do not contain the sha256 of the infrared picture."""
        return request.pictures

    def picture_results(self, decision: MatchDecision) -> Sequence[str]:
        """Return what became of each picture, where the request has several and they were looked at."""
        return [one.left_out or "used" for one in decision.pictures]

    def photos(self, request: MatchRequest, decision: MatchDecision, context: Context) -> Sequence[FaceId]:
        """Return the recognised face and then the other faces of that person, where the request asks for a photo.

        The newest face comes first where the mean of the faces was recognised.
        """
        shown = shown_candidate(request, decision, context.policy)
        if shown is None or not request.need_register_photo:
            return ()
        numbers = dict.fromkeys((shown.person.photographed(shown.number), *shown.person.faces))
        return [(shown.person.identity_id, number) for number in numbers]

    def person(self, request: MatchRequest, decision: MatchDecision, context: Context) -> PersonRecord | None:
        """Return the person whom the answer names."""
        shown = shown_candidate(request, decision, context.policy)
        return None if shown is None else shown.person

    def with_person(self, decision: MatchDecision, person: PersonRecord) -> MatchDecision:
        """Return the decision with the whole record of the nearest candidate."""
        first, *others = decision.candidates
        return replace(decision, candidates=(replace(first, person=person), *others))

    def answer(
        self, request: MatchRequest, decision: MatchDecision, context: Context, photo: bytes | None
    ) -> MatchAnswer:
        """Return the answer to a request that succeeded."""
        shown = shown_of(request, decision, context.policy)
        return MatchAnswer(
            retcode=shown.retcode,
            identity_id=shown.identity_id,
            name=shown.name,
            score=shown.score,
            identity_info=shown.info,
            reg_pic=photo,
            debug=debug_info(decision.findings, decision.timings_ms, decision.threshold.cover)
            if request.with_debug_info
            else None,
            attributes=decision.findings.attributes,
            percent=shown.percent,
            face_numbers=shown.face_numbers,
            faces=matched_faces(request, decision, context.policy) if request.match_all_faces else None,
        )

    def event(self, request: MatchRequest, decision: MatchDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision."""
        policy, found = context.policy, decision.findings
        shown = None if decision.refusal is not None else shown_of(request, decision, policy)
        candidate = shown_candidate(request, decision, policy)
        best = best_of(decision.pictures)
        event = at.event(self.kind, request, decision.outcome, decision.refusal)
        return structs.replace(
            event,
            request=structs.replace(event.request, sha256=at.digests[best]) if best else event.request,
            compare_time=request.compare_time_s,
            compare_time_raw=request.compare_time_raw,
            device_ip=request.device_ip,
            retcode=shown.retcode if shown else None,
            identity_id=shown.identity_id if shown else "",
            name=shown.name if shown else "",
            person_type=candidate.person.person_type if candidate else None,
            identity_info=shown.info if shown and policy.event_identity_info else None,
            score=shown.score if shown else None,
            cosine=round(decision.candidate.cosine, 6) if shown and decision.candidate else None,
            threshold=wire_threshold(decision.threshold, policy),
            scope=decision.scope,
            index=index_use(decision),
            picture=picture_size(request.pictures[best], found),
            pictures=passage_pictures(request.pictures, decision.pictures, at.digests),
            faces=found.faces,
            face=face_box(found.face),
            searched=matched_faces(request, decision, policy),
            quality=check_results(found.quality),
            quality_score=found.quality_score,
            liveness=liveness_result(found.liveness),
            attributes=found.attributes,
            grab_fiqa_info=request.grab_fiqa_info,
            timings_ms=decision.timings_ms,
        )

    def follow_up(
        self, request: MatchRequest, decision: MatchDecision, context: Context, partition: int, offset: int
    ) -> StrangerRequest | None:
        """Return the request to enrol the stranger, where the match asks for that and the stranger is good enough."""
        return stranger_request(request, decision, context.policy, partition, offset)

    def evidence(
        self, request: MatchRequest, decision: MatchDecision, context: Context, at: Circumstances
    ) -> Evidence | None:
        """Return the evidence of the decision; None where no face was compared."""
        if decision.probe is None:
            return None
        found = decision.findings
        return Evidence(
            event_id=request.request_id,
            outcome=decision.outcome,
            decided_time=at.processed_time_s,
            gallery_version=at.gallery_version,
            policy=at.policy,
            model_set=at.model_set,
            embedder=context.models.embedder_identity,
            embedding=decision.probe.astype(np.dtype("<f2")).tobytes(),
            threshold=decision.threshold.cosine,
            candidates=tuple(
                EvidenceCandidate(identity_id=c.person.identity_id, number=c.number, cosine=c.cosine)
                for c in decision.candidates
            ),
            group_name=decision.scope.group_name,
            permission_name=decision.scope.permission_name,
            pictures=passage_pictures(request.pictures, decision.pictures, at.digests),
            faces=found.faces,
            face=face_box(found.face),
            quality=check_results(found.quality),
            quality_score=found.quality_score,
            liveness=liveness_result(found.liveness),
            cover=decision.threshold.cover,
            device_ip=request.device_ip,
            received_time=request.received_time_s,
            complete_to=None if decision.index is None else decision.index.complete_to,
        )


def search(
    probe: Vector, request: MatchRequest, resolved: ResolvedScope, snapshot: Snapshot, context: Context
) -> MatchDecision:
    """Return the decision that follows from the unit vector of a face.

    Where the templates of whole faces recognise nobody, those of covered faces are compared (engine.covered_search).
    """
    faces = snapshot.gallery.count(resolved.scope)
    limits = search_limits(context.policy, context.models.embedder, faces)
    return search_within(limits, probe, request, resolved, snapshot, context.policy)


def search_within(
    limits: SearchLimits,
    probe: Vector,
    request: MatchRequest,
    resolved: ResolvedScope,
    snapshot: Snapshot,
    policy: Policy,
) -> MatchDecision:
    """Return the decision that follows from the unit vector of a face under given limits, as `search` does."""
    scope, site = resolved.scope, snapshot.site
    searched = snapshot.gallery.search(probe, scope, limits.whole.cosine)
    decision = conclude_under(limits.whole, request, resolved, searched.best(CANDIDATES), site, policy)
    if decision.outcome == STRANGER:
        before = searched.used
        covered = covered_match(probe, searched, snapshot, limits.covered, limits.near)
        if covered is not None:
            nearest = covered.candidates[:CANDIDATES]
            decision = conclude_under(covered.threshold, request, resolved, nearest, site, policy)
        elif searched.used != before:  # more people were compared, and one of them may be nearer
            decision = conclude_under(limits.whole, request, resolved, searched.best(CANDIDATES), site, policy)
    return decision if searched.used is None else replace(decision, index=searched.used)


def _decide_several(
    request: MatchRequest, resolved: ResolvedScope, found: Look, snapshot: Snapshot, context: Context
) -> MatchDecision:
    timer = StageTimer(context.clock, dict(found.timings_ms))
    with timer.stage("search"):
        faces = snapshot.gallery.count(resolved.scope)
        limits = search_limits(context.policy, context.models.embedder, faces)
        decision = search_several(limits, faces_of(found), request, resolved, snapshot, context.policy)
    return replace(decision, timings_ms=timer.timings_ms)


def search_several(
    limits: SearchLimits,
    faces: Sequence[SearchedFace],
    request: MatchRequest,
    resolved: ResolvedScope,
    snapshot: Snapshot,
    policy: Policy,
) -> MatchDecision:
    """Return the decision about several faces of a picture under given limits (engine.calls.several has the rules)."""

    def searched(face: SearchedFace) -> SearchedFace:
        if face.probe is None:
            return replace(face, nearest=(), threshold=None)
        alone = search_within(limits, face.probe, request, resolved, snapshot, policy)
        return replace(face, nearest=alone.candidates, threshold=alone.threshold, index=alone.index)

    found = [searched(face) for face in faces]
    return conclude_several(limits.whole, request, resolved, found, snapshot.site, policy)


def conclude(
    request: MatchRequest,
    resolved: ResolvedScope,
    candidates: Sequence[Candidate],
    snapshot: Snapshot,
    context: Context,
) -> MatchDecision:
    """Return the decision that follows from the nearest people of the scope; a replay calls this without a look."""
    threshold = search_threshold(context.policy, context.models.embedder, snapshot.gallery.count(resolved.scope))
    return conclude_under(threshold, request, resolved, candidates, snapshot.site, context.policy)

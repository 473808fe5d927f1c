"""What follows from the nearest people of a scope: the decision about a match, and whom it names. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from contract.errors import Refusal, Refused
from contract.events import EventScope, IndexUse
from contract.findings import MatchedFace
from contract.people.site import Site
from contract.requests import MatchRequest
from contract.terms import DEFAULT_GROUP, PERSON_STRANGER, STRANGER
from contract.vectors import Vector
from engine.burst import Seen
from engine.calls.reporting import outcome_of
from engine.calls.several import SearchedFace, Verdict, each_person_once, named_once, with_answer
from engine.gallery.port import Candidate, IndexUsed, Scope
from engine.gallery.scope import NOBODY_IN_SCOPE, ResolvedScope, resolve_scope
from engine.look import NOTHING_FOUND, Findings
from engine.passing import Barrier, barrier
from engine.policy import Policy
from engine.threshold import AppliedThreshold

Found = Literal["matched", "stranger"] | Barrier
RECOGNISED = ("matched", *get_args(Barrier))
"""The outcomes of matches in which a person was recognised."""

CANDIDATES = 5
"""The most candidates that the evidence contains."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchDecision:
    """The decision about one request, and the findings that it is based on.

    `candidates` are the nearest people of the scope, the nearest first, except that a person of type 4 (stranger)
    yields to one who is recognised. Nobody need have reached `threshold`. `probe` is the
    unit vector that was compared; None where the look at the picture ended with a refusal. `refusal` is set where the
    answer is an error. `site`: the site that was searched; `scope`: the names of the group and permission; those of the
    request, where the request was refused before its scope was known. `searched`: all faces that were searched for, the
    chosen one first, where these are several; all other values are those of the face that the answer is about.
    `pictures`: what became of each picture, where the request has several and they were looked at; `findings` are then
    those about the best one. `index`: how the candidates were found; None: by comparing every face of the scope.
    """

    outcome: str
    threshold: AppliedThreshold
    scope: EventScope
    candidates: Sequence[Candidate] = ()
    refusal: Refusal | None = None
    findings: Findings = NOTHING_FOUND
    pictures: Sequence[Seen] = ()
    probe: Vector | None = None
    site: Site = field(default_factory=Site)
    timings_ms: dict[str, float] = field(default_factory=dict)
    searched: Sequence[SearchedFace] = ()
    index: IndexUsed | None = None

    @property
    def candidate(self) -> Candidate | None:
        """The candidate whom the decision is about; None where nobody was compared."""
        return self.candidates[0] if self.candidates else None


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of a decision that is the same in the answer and in the event."""

    retcode: Literal["0", "1"]
    identity_id: str
    name: str
    info: dict[str, Any]
    score: float
    percent: float
    face_numbers: tuple[int, ...]


def conclude_several(
    threshold: AppliedThreshold,
    request: MatchRequest,
    resolved: ResolvedScope,
    searched: Sequence[SearchedFace],
    site: Site,
    policy: Policy,
) -> MatchDecision:
    """Return the decision that follows from several faces, with their nearest people, and a threshold for those that
    have none of their own."""

    def concluded(face: SearchedFace) -> MatchDecision:
        limit = face.threshold or threshold
        if face.refusal is not None:
            return MatchDecision(outcome_of(face.refusal), limit, scope_names(resolved), refusal=face.refusal)
        return conclude_under(limit, request, resolved, face.nearest, site, policy)

    alone = [
        replace(face, threshold=face.threshold or threshold, outcome=concluded(face).outcome, kept_by_another=False)
        for face in searched
    ]
    faces = with_answer(alone, RECOGNISED)
    if request.match_all_faces:
        faces = each_person_once(faces, RECOGNISED)
    face = next(face for face in faces if face.answered)
    return replace(
        concluded(face), site=site, findings=face.findings, probe=face.probe, searched=faces, index=face.index
    )


def about_only_face(decision: MatchDecision, face: SearchedFace) -> MatchDecision:
    """Return a decision with the only face that was searched for, which a request for all faces lists."""
    threshold = decision.threshold
    only = replace(face, nearest=decision.candidates, threshold=threshold, outcome=decision.outcome, answered=True)
    return replace(decision, searched=(only,))


def matched_faces(request: MatchRequest, decision: MatchDecision, policy: Policy) -> tuple[MatchedFace, ...]:
    """Return the faces that were searched for, as answers and events contain them; none where there was only one."""

    def matched(face: SearchedFace, *, may_name: bool) -> MatchedFace:
        if face.outcome not in (STRANGER, *RECOGNISED):
            # A face without a refusal of its own ended at the search, because nobody is in the scope.
            return replace(face, refusal=face.refusal or NOBODY_IN_SCOPE).matched()
        threshold = face.threshold or decision.threshold
        alone = replace(decision, threshold=threshold, outcome=face.outcome, candidates=face.nearest)
        verdict = verdict_of(request, alone, policy)
        if face.kept_by_another or not may_name:
            return face.matched(Verdict("0", "", verdict.score), STRANGER)
        shown = shown_candidate(request, alone, policy)
        return face.matched(verdict, shown.person.name if shown else STRANGER)

    faces = decision.searched
    names = named_once(faces, RECOGNISED) if request.match_all_faces else [True] * len(faces)
    return tuple(matched(face, may_name=may_name) for face, may_name in zip(faces, names, strict=True))


def conclude_under(
    threshold: AppliedThreshold,
    request: MatchRequest,
    resolved: ResolvedScope,
    candidates: Sequence[Candidate],
    site: Site,
    policy: Policy,
) -> MatchDecision:
    """Return the decision that follows from the nearest people of the scope and a threshold; no network is needed."""
    if not candidates:
        return MatchDecision(outcome_of(NOBODY_IN_SCOPE), threshold, scope_names(resolved), refusal=NOBODY_IN_SCOPE)
    candidates = strangers_behind(candidates, threshold.cosine, policy)
    outcome = _outcome(request, candidates[0], threshold.cosine, resolved.scope, site, policy)
    return MatchDecision(outcome, threshold, scope_names(resolved), candidates, site=site)


def strangers_behind(candidates: Sequence[Candidate], threshold: float, policy: Policy) -> Sequence[Candidate]:
    """Return the candidates, of whom a person of type 4 (stranger) yields the front to one who is recognised.

    A person may have passed by, and been enrolled as a stranger, before an operator enrolled that person. All others
    keep their order, so nothing changes where the nearest one is no stranger, or where nobody else is recognised.
    """
    if not policy.bars_strangers:
        return candidates
    recognised = (one for one in candidates if one.cosine >= threshold and one.person.person_type != PERSON_STRANGER)
    first = next(recognised, None)
    return candidates if first is None else [first, *(one for one in candidates if one is not first)]


def scope_of_refusal(request: MatchRequest, site: Site, policy: Policy) -> tuple[Scope, EventScope]:
    """Return the scope from which the threshold of a refused request is computed, and the names of its scope."""
    try:
        resolved = resolve_scope(request, site, policy)
    except Refused:
        group_name = request.group_name or ("" if request.by_permission else DEFAULT_GROUP)
        return Scope(means=policy.mean_templates), EventScope(
            group_name=group_name, permission_name=request.permission_name
        )
    return resolved.scope, scope_names(resolved)


def scope_names(resolved: ResolvedScope) -> EventScope:
    """Return the names of a scope as events contain them."""
    return EventScope(group_name=resolved.group_name, permission_name=resolved.permission_name)


def _outcome(
    request: MatchRequest, candidate: Candidate, threshold: float, scope: Scope, site: Site, policy: Policy
) -> Found:
    """Return the outcome of a search. Its time is that of the arrival, because compare_time comes from a device."""
    if candidate.cosine < threshold:
        return "stranger"
    return barrier(candidate.person, scope, site, policy, request.received_time_s) or "matched"


def index_use(decision: MatchDecision) -> IndexUse | None:
    """Return how the search of a decision was made, as events have it; None: every face of the scope was compared."""
    used, nearest = decision.index, decision.candidate
    if used is None:
        return None
    return IndexUse(
        make=used.index,
        cut=None if used.cut is None else round(used.cut, 6),
        candidates=used.candidates,
        miss=used.miss,
        # The candidates of a cover are those whose templates of whole faces reach what was searched for.
        estimate=decision.threshold.cover is None and nearest is not None and nearest.cosine < used.complete_to,
    )


def shown_candidate(request: MatchRequest, decision: MatchDecision, policy: Policy) -> Candidate | None:
    """Return the candidate whom the answer may name: the recognised one, or the nearest one with need_keep_info."""
    if decision.outcome in RECOGNISED or (request.need_keep_info and policy.allow_keep_info):
        return decision.candidate
    return None


def verdict_of(request: MatchRequest, decision: MatchDecision, policy: Policy) -> Verdict:
    """Return what a decision that is no refusal comes to."""
    shown = shown_candidate(request, decision, policy)
    cosine = decision.candidate.cosine if decision.candidate else 0.0
    return Verdict(
        "1" if decision.outcome == "matched" else "0",
        shown.person.identity_id if shown else "",
        decision.threshold.score(cosine, policy),
    )


def shown_of(request: MatchRequest, decision: MatchDecision, policy: Policy) -> Shown:
    """Return what the answer and the event show of a decision that is no refusal."""
    shown, verdict = shown_candidate(request, decision, policy), verdict_of(request, decision, policy)
    cosine = decision.candidate.cosine if decision.candidate else 0.0
    return Shown(
        retcode=verdict.retcode,
        identity_id=verdict.identity_id,
        name=shown.person.name if shown else STRANGER,
        info={**decision.site.shown(shown.person.info), "image_id": shown.person.image_id} if shown else {},
        score=verdict.score,
        percent=decision.threshold.percent(cosine, policy),
        face_numbers=shown.person.faces if shown else (),
    )

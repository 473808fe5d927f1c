"""What was seen, each check of a decision with its value and limit, and the nearest people. Pure.

All values are those that the decision recorded; what was not recorded, because it can be computed, comes from the
decision that was made again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from capture.explaining.deciding import Decider, Inputs, resolved_in
from capture.explaining.faces import which_face
from capture.explaining.values import Check, Nearest, Seen, Then
from contract.errors import Refusal
from contract.events import Threshold
from contract.evidence import EvidenceCandidate
from contract.findings import CheckResult, PictureSize
from contract.people.keys import MEAN_FACE
from contract.requests import MatchRequest
from engine.access import barrier_checks, device_words
from engine.calls.demands import wanted_of
from engine.calls.matching import MatchDecision
from engine.gallery.scope import ResolvedScope

_RULES = {
    "setting": "the setting matching.threshold",
    "target_fpir": "the setting matching.target_fpir",
    "floor": "the setting matching.highest_fmr",
    "model": "the embedder's default",
    "accepted_score": "the setting matching.accepted_score",
}
_UNITS = {"face_size": " px", "headpose": " degrees", "min_face_size": " px"}


def seen_in(then: Then, decision: MatchDecision | None) -> Seen:
    """Return what was seen in the picture. `decision`: the one that was made again."""
    recorded = then.decision
    size = None if then.event is None else then.event.picture
    found = None if decision is None else decision.findings.size
    if size is None and then.request is not None and then.request.picture:
        width, height = found or (None, None)
        size = PictureSize(bytes=len(then.request.picture), width=width, height=height)
    faces, face = recorded.faces, recorded.face
    if faces is None:
        used = "no face was searched for"
    elif face is None:
        used = "no face was used"
    else:
        used = f"{which_face(recorded, then.policy)} was used: {face.width:g} x {face.height:g} px"
        used += f" at ({face.x:g}, {face.y:g})"
        used += f", in the picture turned by {face.turned_degrees} degrees" if face.turned_degrees else ""
    return Seen(size, faces, face, used)


def nearest_people(then: Then, decider: Decider | None) -> Sequence[Nearest]:
    """Return the candidates, the nearest first; none where nobody was compared or they are not known any more."""
    return [_nearest(then, candidate, decider) for candidate in then.decision.candidates]


def _nearest(then: Then, candidate: EvidenceCandidate, decider: Decider | None) -> Nearest:
    limit = None if then.decision.applied is None else then.decision.applied.cosine
    person = None if then.people is None else then.people.person(candidate.identity_id)
    score = None
    if decider is not None and decider.decision is not None:
        score = decider.decision.threshold.score(candidate.cosine, decider.inputs.policy)
    elif candidate is then.decision.candidates[0]:
        score = then.decision.score
    margin = None if limit is None else round(candidate.cosine - limit, 6)
    name = None if person is None else person.name
    cosine, mean_of = round(candidate.cosine, 6), _mean_of(then, candidate)
    return Nearest(candidate.identity_id, name, candidate.number, cosine, score, margin, mean_of)


def _mean_of(then: Then, candidate: EvidenceCandidate) -> int | None:
    """Return of how many faces the mean of a candidate is; None: a face was nearest, or the people of then are gone."""
    if candidate.number != MEAN_FACE or then.people is None:
        return None
    return then.people.faces_compared(candidate.identity_id)


def checks_of(then: Then, decider: Decider | None) -> Sequence[Check]:
    """Return the checks in the order in which they are made, as far as the decision came.

    `decider` None: the request, the people or the policy of then are gone, and with them the checks of the scope and of
    passing.
    """
    if decider is None:
        return [*_face_checks(then, None), *_search_checks(then)]
    return list(_checks(then, decider.inputs))


def _checks(then: Then, inputs: Inputs) -> Iterator[Check]:
    yield from deadline_checks(then.decision.outcome, then.decision.decided_time, then.deadline_s)
    resolved = resolved_in(inputs)
    if isinstance(resolved, Refusal):
        yield Check("scope", "scope", False, resolved.message)
        return
    yield Check("scope", "scope", True, _scope_words(inputs.request, resolved))
    # An inferred request has no min_face_size, so nobody knows the size that was demanded.
    least = None if then.is_inferred else wanted_of(inputs.request, inputs.policy, resolved.device).min_face_size
    yield from _face_checks(then, least)
    if then.decision.error_code is None or then.decision.outcome == "empty_group":
        compared = inputs.snapshot.gallery.count(resolved.scope)
        yield Check("search", "people", compared > 0, _compared_words(compared, inputs, resolved), compared, 1)
    yield from _search_checks(then)
    first = then.decision.candidates[0].identity_id if then.decision.candidates else then.decision.identity_id
    person = None if then.people is None else then.people.person(first)
    if person is not None and then.decision.error_code is None and then.decision.outcome != "stranger":
        site, time_s = inputs.snapshot.site, inputs.request.received_time_s
        for check in barrier_checks(person, resolved, site, inputs.policy, time_s):
            yield Check("passing", check.name, check.passes, check.sentence)


def _compared_words(compared: int, inputs: Inputs, resolved: ResolvedScope) -> str:
    faces = inputs.snapshot.gallery.count(replace(resolved.scope, means=False))
    if compared > faces:
        return f"{faces} faces of the scope were compared, and the means of the faces of {compared - faces} people"
    return f"{faces} faces of the scope were compared" if faces else "nobody is enrolled in the scope"


def _scope_words(request: MatchRequest, resolved: ResolvedScope) -> str:
    if request.group_name is None and request.permission_name is None and request.device_ip is not None:
        return device_words(request.device_ip, resolved)
    group = f"the group {resolved.group_name}" if resolved.group_name else "every group"
    permission = f" with the permission {resolved.permission_name}" if resolved.permission_name else ""
    return f"the request searches {group}{permission}"


def deadline_checks(outcome: str, decided_s: float | None, deadline_s: float | None) -> Iterator[Check]:
    """Yield whether a decision came before the deadline of its request; nothing where that is not known."""
    if deadline_s is None or decided_s is None:
        return
    expired = outcome == "expired"
    left_ms = round(1000 * (deadline_s - decided_s))
    words = f"the decision came {abs(left_ms)} ms {'before' if left_ms >= 0 else 'after'} the deadline of the request"
    if left_ms < 0 and not expired:
        words += ", and the answer was committed nevertheless"
    yield Check("deadline", "deadline", not expired, words, decided_s, deadline_s)


def decidable_words(outcome: str, decided_s: float | None, deadline_s: float | None) -> str:
    """Return in words the change after which a request is decided that was not: it expired, or the server failed."""
    if outcome != "expired":
        return "a server that can work"
    if decided_s is None or deadline_s is None or decided_s < deadline_s:
        return "an answer within the deadline"
    return f"an answer {round(1000 * (decided_s - deadline_s)) + 1} ms earlier, within the deadline"


def _face_checks(then: Then, min_face_size: int | None) -> Iterator[Check]:
    recorded = then.decision
    if recorded.faces is not None and min_face_size is not None:
        side = None if recorded.face is None else min(recorded.face.width, recorded.face.height)
        needed = f"at least {min_face_size} px are needed" if min_face_size else "no least size is set"
        if side is not None:
            words = f"the shorter side of the face is {side:g} px, and {needed}"
        else:
            words = f"no face of at least {min_face_size} px was found" if recorded.faces else "no face was found"
        yield Check("picture", "min_face_size", side is not None, words, side, min_face_size)
    for item in recorded.quality:
        yield _measured("quality", item)
    if recorded.liveness is not None:
        for item in recorded.liveness.checks:
            yield _measured("liveness", item)
        votes = [item.passed for item in recorded.liveness.checks if item.vote]
        needed = f"; {sum(votes)} of {len(votes)} votes passed, and half are needed" if votes else ""
        passed = recorded.liveness.passed
        words = f"the face was {'' if passed else 'not '}accepted as live ({recorded.liveness.mode}){needed}"
        yield Check("liveness", "live", passed, words)


def _measured(stage: str, item: CheckResult) -> Check:
    unit = _UNITS.get(item.name, "")
    voted = ", a vote" if item.vote else ""
    words = f"{item.name} is {item.value:.4g}{unit}, and the limit is {item.limit:.4g}{unit}{voted}"
    return Check(stage, item.name, item.passed, words, round(item.value, 6), item.limit, item.vote)


def _search_checks(then: Then) -> Iterator[Check]:
    recorded = then.decision
    if recorded.applied is None or recorded.error_code is not None:
        return
    passed = recorded.outcome != "stranger"
    first = recorded.candidates[0] if recorded.candidates else None
    cosine = None if first is None else first.cosine
    value, limit = (recorded.score, recorded.threshold) if cosine is None else (cosine, recorded.applied.cosine)
    if value is None or limit is None:
        return
    what = "score" if cosine is None else "cosine"
    verb = "reaches" if passed else "does not reach"
    whose = "" if first is None or first.number != MEAN_FACE else f" of {_mean_words(_mean_of(then, first))}"
    is_behind = first is not None and any(other.cosine > first.cosine for other in recorded.candidates)
    among = " of all who are not of the type stranger" if is_behind else ""
    words = (
        f"the highest {what}{among}, {value:.4f}{whose}, {verb} the threshold, {limit:.4f}"
        f" (from {_rule(recorded.applied)})"
    )
    yield Check("search", "threshold", passed, words, round(value, 6), round(limit, 6))


def _mean_words(faces: int | None) -> str:
    return "the mean of a person's faces" if faces is None else f"the mean of a person's {faces} faces"


def _rule(applied: Threshold) -> str:
    rule = _RULES.get(applied.rule, applied.rule)
    if applied.cover is not None:
        rule = f"{rule}, for templates of faces with covered {applied.cover}"
    if applied.target_fpir is None:
        return rule
    measured = ", not between two points of the embedder's curve" if applied.extrapolated else ""
    if applied.rule == "floor":
        return f"{rule}: false match rate {applied.fmr:g} of each comparison among {applied.faces} templates{measured}"
    return f"{rule}: false positive rate {applied.target_fpir:g} among {applied.faces} templates{measured}"

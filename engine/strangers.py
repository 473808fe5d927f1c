"""Decides whether the stranger of a match is to be enrolled. Pure.

A stranger is enrolled who would be searched for again: exactly one face, good enough, live enough, and clearly nobody
whom the scope has. What is not known before the picture is looked at again, the rest of the quality and whether another
request has enrolled the stranger meanwhile, the enrolment decides (engine.calls.stranger).
"""

from contract.ids import made_id
from contract.requests import MatchRequest, StrangerRequest
from contract.terms import LIVENESS_ORDER, STRANGER
from engine.burst import best_of
from engine.calls.matching import MatchDecision
from engine.look import Findings
from engine.policy import Policy
from engine.vision.quality import limits_of


def stranger_request(
    request: MatchRequest, decision: MatchDecision, policy: Policy, partition: int, offset: int
) -> StrangerRequest | None:
    """Return the request to enrol the stranger of a match; None: nobody is to be enrolled.

    The same match always makes the same request. `partition` and `offset`: the place of the request of the match.
    """
    if not (policy.enrol_strangers and request.support_stranger):
        return None
    if not _is_clear(decision, policy) or not _is_alone(decision) or not _is_good(decision.findings, policy):
        return None
    scope, nearest = decision.scope, decision.candidate
    group = decision.site.group_named(scope.group_name)
    permission = decision.site.permission_named(scope.permission_name or "")
    if nearest is None or group is None or permission is None:
        return None
    return StrangerRequest(
        request_id=made_id(request.request_id, 0),
        identity_id=made_id(request.request_id, 1),
        match_id=request.request_id,
        match_partition=partition,
        match_offset=offset,
        picture=request.pictures[best_of(decision.pictures)],
        group_id=group.group_id,
        permission_id=permission.permission_id,
        cosine=nearest.cosine,
        received_time_s=request.received_time_s,
        compare_time_s=request.compare_time_s,
        compare_time_raw=request.compare_time_raw,
        device_ip=request.device_ip,
        ordered_by=request.key.decode(),
    )


def _is_clear(decision: MatchDecision, policy: Policy) -> bool:
    """Return whether nobody was recognised, and nobody is nearly as near as somebody who is."""
    if decision.outcome != STRANGER or decision.refusal is not None or decision.candidate is None:
        return False
    return decision.candidate.cosine < decision.threshold.cosine - policy.stranger_margin


def _is_alone(decision: MatchDecision) -> bool:
    """Return whether each picture shows the stranger only."""
    if decision.findings.faces != 1 or any(face.kept_by_another or face.rival for face in decision.searched):
        return False
    looks = [(one.left_out, one.look) for one in decision.pictures]
    if any(left_out == "other_person" for left_out, _ in looks):
        return False
    return all(found is None or (found.findings.faces or 0) <= 1 for _, found in looks)


def _is_good(found: Findings, policy: Policy) -> bool:
    """Return whether the face is large and live enough; the other items of its quality are not measured yet."""
    if found.face is None:
        return False
    least, most = limits_of((policy.stranger_quality,), policy.custom_quality).get("face_size", (-1.0, float("inf")))
    if not least < found.face.sent_box.shorter_side <= most:
        return False
    if policy.stranger_liveness == LIVENESS_ORDER[0]:
        return True
    live = found.liveness
    if live is None or not live.passed:
        return False
    return LIVENESS_ORDER.index(live.mode) >= LIVENESS_ORDER.index(policy.stranger_liveness)

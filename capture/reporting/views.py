"""What a report reads from the decisions of a row. Pure."""

import math
from collections.abc import Mapping
from typing import NamedTuple, get_args

from capture.differences import is_undecided
from capture.reporting.kinds import Kind, Outcome, expectation, kind_of, opens, outcome_of, recognised_by
from capture.reporting.values import ReportedRow, Scale, Shown, Status
from capture.rows import Row
from contract.captures.values import CapturedDecision
from engine.policy import ScoreScale

_NOT_ACQUIRED = frozenset({"no_face", "low_quality", "image_error"})
_SEARCHED = frozenset({"matched", "barred", "stranger"})
_TRAITS: Mapping[Outcome, tuple[bool, bool, bool]] = {
    outcome: (outcome != "error", outcome not in _NOT_ACQUIRED, outcome in _SEARCHED) for outcome in get_args(Outcome)
}


class View(NamedTuple):
    """One decision as the figures count it.

    `presented`: the system decided about the picture. `acquired`: the picture contained a usable face. `searched`: the
    face was compared with the people of the scope, of whom there was one at least. `recognised`: whom the search
    recognised. `score`: the highest score of the search, on `scale`. `threshold`: the threshold in force on that scale;
    None: the decision does not name one.
    """

    decision: CapturedDecision
    presented: bool
    acquired: bool
    searched: bool
    recognised: str | None
    score: float | None
    threshold: float | None
    scale: Scale


def view_of(decision: CapturedDecision, answered_on: ScoreScale | None = None) -> View:
    """Return a decision as the figures count it. `answered_on`: the scale of a server's score, where it is known."""
    outcome = outcome_of(decision)
    presented, acquired, searched = _TRAITS[outcome]
    recognised = recognised_by(decision) if searched else None
    if decision.candidates:
        threshold = None if decision.applied is None else decision.applied.cosine
        return View(
            decision, presented, acquired, searched, recognised, decision.candidates[0].cosine, threshold, "cosine"
        )
    score = decision.score if decision.score is not None and math.isfinite(decision.score) else None
    is_raw = _is_raw(decision) if answered_on is None else answered_on == "raw"
    scale: Scale = "cosine" if is_raw else "score"
    return View(decision, presented, acquired, searched, recognised, score, decision.threshold, scale)


def _is_raw(decision: CapturedDecision) -> bool:
    """Return whether the wire's scale is the cosine, because the threshold is the same number on both scales."""
    cosine = decision.applied.cosine if decision.applied is not None else None
    return cosine is not None and decision.threshold is not None and abs(cosine - decision.threshold) < 1e-5


def status_of(row: Row) -> Status:
    """Return the result of a row."""
    if row.trouble is not None:
        return "could_not_run"
    if row.differences is None:
        return "not_compared"
    return "different" if row.differences else "same"


def kind_of_row(row: Row) -> Kind:
    """Return the kind of the difference of a differing row."""
    then = _then_of(row)
    if then is None or row.now is None:
        return "other_value"
    return kind_of(then, row.now, [difference.what for difference in row.differences or ()])


def _then_of(row: Row) -> CapturedDecision | None:
    """Return the decision that a row is compared with.

    The expected identity stands in for a decision of then that was no decision about the picture.
    """
    then = row.line.decision
    expected = row.expected if row.line.expected_identity_id is None else row.line.expected_identity_id
    if (then is None or is_undecided(then)) and expected is not None:
        return expectation(expected)
    return then


def _opens(row: Row) -> bool:
    """Return whether a differing row opens a door that stayed closed then, or was expected to."""
    then = _then_of(row)
    return then is not None and row.now is not None and opens(then, row.now)


def reported(row: Row, status: Status, expected: str | None, group: str | None) -> ReportedRow:
    """Return a row for the report, without embeddings and pictures."""
    pictured = next((d for d in (row.now, row.line.decision) if d is not None and d.face is not None), None)
    return ReportedRow(
        line=row.number,
        request_id=row.line.request_id,
        status=status,
        kind=kind_of_row(row) if status == "different" else None,
        opens=status == "different" and _opens(row),
        device_ip=row.line.request.device_ip,
        received_time=row.line.received_time,
        tier=row.tier,
        then=None if row.line.decision is None else shown(row.line.decision),
        now=None if row.now is None else shown(row.now),
        differences=row.differences or (),
        trouble=row.trouble,
        remark=row.remark,
        picture=_picture_with_face(row, pictured),
        face=None if pictured is None else pictured.face,
        expected=expected,
        group=group,
    )


def _picture_with_face(row: Row, decision: CapturedDecision | None) -> str:
    """Return the sha256 of the picture to which the face of a decision refers: of several, the best one."""
    pictures = () if decision is None else decision.pictures
    return next((each.sha256 for each in pictures if each.best), row.line.request.picture)


def shown(decision: CapturedDecision) -> Shown:
    """Return a decision as the report shows it."""
    score, threshold = decision.score, decision.threshold
    nearest = decision.candidates[0] if decision.candidates else None
    return Shown(
        outcome=decision.outcome,
        identity_id=decision.identity_id,
        error_code=decision.error_code,
        score=score,
        threshold=threshold,
        margin=None if score is None or threshold is None else round(score - threshold, 6),
        cosine=None if nearest is None else nearest.cosine,
        cosine_threshold=None if decision.applied is None else decision.applied.cosine,
        candidate=decision.identity_id if nearest is None else nearest.identity_id,
        candidate_face=None if nearest is None else nearest.number,
        gallery_version=decision.gallery_version,
    )

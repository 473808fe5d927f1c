"""Which of several faces was used, and what the others were, in words. Pure."""

from collections.abc import Iterator, Sequence

from contract.captures.values import CapturedDecision
from contract.findings import FaceBox, MatchedFace
from contract.terms import STRANGER
from engine.calls.matching import RECOGNISED
from engine.policy import Policy


def which_face(recorded: CapturedDecision, policy: Policy | None) -> str:
    """Return in words which face of the picture was used. `policy`: that of then; None: it is gone."""
    if recorded.faces == 1:
        return "the only face"
    if policy is None:
        return f"one of {recorded.faces} faces"
    if any(face.answered and not face.chosen for face in recorded.searched):
        return f"the rival of the chosen one of {recorded.faces} faces"
    return f"the {'chosen one' if policy.face == 'chosen' else 'largest'} of {recorded.faces} faces"


def face_sentences(searched: Sequence[MatchedFace]) -> Iterator[str]:
    """Yield what was decided about each of several faces, and why the answer is about the one that it is about."""
    if not searched:
        return
    yield f"{len(searched)} faces of the picture were searched for: {'; '.join(map(_face, searched))}."
    if any(face.answered and not face.chosen for face in searched):
        yield "The chosen face is a stranger's and not nearer to the camera, so the answer is about its rival."
    else:
        yield "The answer is about the chosen face."


def _face(face: MatchedFace) -> str:
    role = "the chosen one" if face.chosen else "its rival" if face.rival else "another one"
    if face.outcome in RECOGNISED:
        who = f"{face.outcome}, {face.identity_id}"
    elif face.outcome == STRANGER:
        who = "a stranger"
    else:
        who = face.outcome
    by = "" if face.cover is None else f" by templates of faces with covered {face.cover}"
    score = "" if face.score is None else f" (score {face.score:g}{by})"
    kept = ", because another face keeps the nearest person" if face.kept_by_another else ""
    return f"{role}{_place(face.face)}, is {who}{score}{kept}"


def _place(box: FaceBox | None) -> str:
    return "" if box is None else f", {box.width:g} x {box.height:g} px at ({box.x:g}, {box.y:g})"

"""Decides about several faces of one picture: whom each of them is, and about which of them the answer is. Pure.

The rules:

1. The answer is about the chosen face (engine.vision.choosing), unless that is a stranger, known or not, and its rival
   is recognised and no stranger; then the answer is about the rival. So nobody is kept out by a stranger, before and
   after a match has enrolled the stranger. A rival is about as near to the camera as the chosen face, so the answer is
   never about somebody clearly behind a stranger. A chosen face that is refused (quality, liveness) ends in its
   refusal, and a rival that is refused is not recognised, so the face for which a door opens has passed all checks.
2. Each face is searched for as if it were the only face of the picture, so its templates of covered faces are compared
   where those of whole faces recognise nobody: a covered person is found beside somebody who is as near.
3. Where all faces are wanted, the answer is the same as if they were not. Each person is recognised at most once: the
   face that the answer is about keeps its person before all others, and of the other faces the one whose cosine is
   further above its threshold does. A face whose nearest person is kept by another face is a stranger; nobody else is
   looked for in it.
4. Where all faces are wanted and strangers are shown with the nearest person (need_keep_info), the list names each
   person once: at the face that is recognised as the person, else at the face that the answer is about, else at the one
   whose cosine is nearest to its threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from contract.errors import Refusal
from contract.findings import MatchedFace
from contract.terms import STRANGER, STRANGERS
from contract.vectors import Vector
from engine.calls.reporting import check_results, face_box, liveness_result
from engine.gallery.port import Candidate, IndexUsed
from engine.look import Findings, Look, LookBeside
from engine.threshold import AppliedThreshold


class Verdict(NamedTuple):
    """What a decision that is no refusal comes to: the retcode, the identity that it names ("": none), the score."""

    retcode: Literal["0", "1"]
    identity_id: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class SearchedFace:
    """One of several faces of a picture that were searched for.

    `probe`: the unit vector that was compared; None where `refusal` ended the look. `nearest`: the people who were
    found, in the order of `MatchDecision.candidates`. `threshold`: the one under which they were found; None: that of
    the templates of whole faces. `outcome`: what the decision would be if the picture had no other faces, or a stranger
    where `kept_by_another`: another face keeps the nearest person. `answered`: the answer is about this face. `index`:
    how the nearest people were found; None: by comparing every face of the scope.
    """

    findings: Findings
    probe: Vector | None = None
    refusal: Refusal | None = None
    chosen: bool = False
    rival: bool = False
    nearest: Sequence[Candidate] = ()
    threshold: AppliedThreshold | None = None
    outcome: str = ""
    answered: bool = False
    kept_by_another: bool = False
    index: IndexUsed | None = None

    @property
    def margin(self) -> float:
        """By how much the cosine of the nearest person is above the threshold of the face; negative: below."""
        return self.nearest[0].cosine - (0.0 if self.threshold is None else self.threshold.cosine)

    def matched(self, verdict: Verdict | None = None, name: str = "") -> MatchedFace:
        """Return the face as answers and events contain it. `verdict`: None where its outcome is a refusal. `name`:
        the name of the person whom the verdict names."""
        found = self.findings
        return MatchedFace(
            face=face_box(found.face),
            outcome=self.outcome,
            retcode=verdict.retcode if verdict else None,
            identity_id=verdict.identity_id if verdict else "",
            name=name,
            score=verdict.score if verdict else None,
            error_code=None if self.refusal is None else int(self.refusal.code),
            quality=check_results(found.quality),
            quality_score=found.quality_score,
            liveness=liveness_result(found.liveness),
            chosen=self.chosen,
            rival=self.rival,
            answered=self.answered,
            kept_by_another=self.kept_by_another,
            cover=None if self.threshold is None else self.threshold.cover,
        )


def faces_of(found: Look) -> Sequence[SearchedFace]:
    """Return the faces of a look, the chosen one first, before they are searched for."""
    others = (_of(one, rival=one.rival) for one in found.beside)
    return [replace(_of(found), chosen=True), *others]


def _of(found: Look | LookBeside, *, rival: bool = False) -> SearchedFace:
    ended = found.embedding
    if isinstance(ended, Refusal):
        return SearchedFace(found.findings, refusal=ended, rival=rival)
    return SearchedFace(found.findings, ended.vector, rival=rival)


def with_nearest(faces: Sequence[SearchedFace], nearest: Sequence[Candidate]) -> Sequence[SearchedFace]:
    """Return the faces with other nearest people of the face that the answer is about."""
    return [replace(face, nearest=nearest) if face.answered else face for face in faces]


def with_answer(faces: Sequence[SearchedFace], recognised: Sequence[str]) -> Sequence[SearchedFace]:
    """Return the faces, with the one that the answer is about, by rule 1. `recognised`: the outcomes of such faces."""
    first, about = faces[0], 0
    if first.refusal is None and first.outcome in STRANGERS:
        others = [outcome for outcome in recognised if outcome not in STRANGERS]
        about = next((place for place, face in enumerate(faces) if face.rival and face.outcome in others), 0)
    return tuple(replace(face, answered=place == about) for place, face in enumerate(faces))


def each_person_once(faces: Sequence[SearchedFace], recognised: Sequence[str]) -> Sequence[SearchedFace]:
    """Return the faces, of which no two recognise the same person, by rule 3. `recognised`: as in `with_answer`."""
    found = [place for place, face in enumerate(faces) if face.outcome in recognised]
    keepers = dict[str, int]()
    for place in sorted(found, key=lambda at: (not faces[at].answered, -faces[at].margin, at)):
        keepers.setdefault(faces[place].nearest[0].person.identity_id, place)
    lost = set(found) - set(keepers.values())
    return tuple(
        replace(face, outcome=STRANGER, kept_by_another=True) if place in lost else face
        for place, face in enumerate(faces)
    )


def named_once(faces: Sequence[SearchedFace], recognised: Sequence[str]) -> Sequence[bool]:
    """Return for each face whether it may name its nearest person, so that no two name the same, by rule 4.

    `recognised`: as in `with_answer`.
    """

    def before_others(place: int) -> tuple[bool, bool, float, int]:
        face = faces[place]
        return face.outcome not in recognised, not face.answered, -face.margin, place

    keepers = dict[str, int]()
    naming = (place for place, face in enumerate(faces) if face.nearest and not face.kept_by_another)
    for place in sorted(naming, key=before_others):
        keepers.setdefault(faces[place].nearest[0].person.identity_id, place)
    keeping = set(keepers.values())
    return [place in keeping for place in range(len(faces))]

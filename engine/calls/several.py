"""Decides about several faces of one picture: whom each of them is, and about which of them the answer is. Pure.

The rules:

1. The answer is about the chosen face (engine.vision.choosing), unless that is a stranger and its rival is recognised;
   then the answer is about the rival. A rival is about as near to the camera as the chosen face, so the answer is never
   about somebody clearly behind a stranger. A chosen face that is refused (quality, liveness) ends in its refusal, and
   a rival that is refused is not recognised, so the face for which a door opens has passed all checks.
2. Where all faces are wanted, each person is recognised at most once: the face with the highest cosine keeps the
   person, and the other faces get the next person who reaches the threshold, or are strangers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal, NamedTuple

from contract.errors import Refusal
from contract.findings import MatchedFace
from contract.terms import STRANGER
from contract.vectors import Vector
from engine.calls.reporting import check_results, face_box, liveness_result
from engine.gallery.port import Candidate, Gallery, Scope
from engine.look import Findings, Look, LookBeside


class Verdict(NamedTuple):
    """What a decision that is no refusal comes to: the retcode, the identity that it names ("": none), the score."""

    retcode: Literal["0", "1"]
    identity_id: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class SearchedFace:
    """One of several faces of a picture that were searched for.

    `probe`: the unit vector that was compared; None where `refusal` ended the look. `nearest`: the people who were
    found, the nearest first. `candidates`: those of them from the first one on whom no other face keeps. `outcome`:
    what the decision would be if the picture had no other faces, and these candidates were all. `answered`: the answer
    is about this face.
    """

    findings: Findings
    probe: Vector | None = None
    refusal: Refusal | None = None
    chosen: bool = False
    rival: bool = False
    nearest: Sequence[Candidate] = ()
    candidates: Sequence[Candidate] = ()
    outcome: str = ""
    answered: bool = False

    @property
    def lost(self) -> bool:
        """Whether another face keeps the person who is nearest to this face."""
        return bool(self.nearest) and (not self.candidates or self.candidates[0] is not self.nearest[0])

    @property
    def has_lost_everybody(self) -> bool:
        """Whether other faces keep all people who are near to this face."""
        return bool(self.nearest) and not self.candidates

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
            kept_by_another=self.lost,
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


def search_faces(faces: Sequence[SearchedFace], scope: Scope, gallery: Gallery, most: int) -> Sequence[SearchedFace]:
    """Return the faces with the people of a scope who are nearest to each: `most`, and one more for each other face,
    because the others may keep as many."""
    enough = most + len(faces) - 1
    return [
        face if face.probe is None else replace(face, nearest=gallery.best(face.probe, scope, enough)) for face in faces
    ]


def with_nearest(faces: Sequence[SearchedFace], nearest: Sequence[Candidate]) -> Sequence[SearchedFace]:
    """Return the faces with other nearest people of the face that the answer is about."""
    return [replace(face, nearest=nearest) if face.answered else face for face in faces]


def with_candidates(
    faces: Sequence[SearchedFace], threshold: float, most: int, *, each_once: bool
) -> Sequence[SearchedFace]:
    """Return the faces with their candidates, at most `most` each; by rule 2 where `each_once`."""
    keepers = _keepers(faces, threshold) if each_once else {}

    def left(face: SearchedFace, place: int) -> Sequence[Candidate]:
        kept = (c.cosine >= threshold and keepers.get(c.person.identity_id, place) != place for c in face.nearest)
        return tuple(face.nearest)[sum(takewhile(bool, kept)) :][:most]

    return [replace(face, candidates=left(face, place)) for place, face in enumerate(faces)]


def with_answer(faces: Sequence[SearchedFace], recognised: Sequence[str]) -> Sequence[SearchedFace]:
    """Return the faces, with the one that the answer is about, by rule 1. `recognised`: the outcomes of such faces."""
    first, about = faces[0], 0
    if first.refusal is None and first.outcome == STRANGER:
        about = next((place for place, face in enumerate(faces) if face.rival and face.outcome in recognised), 0)
    return tuple(replace(face, answered=place == about) for place, face in enumerate(faces))


def _keepers(faces: Sequence[SearchedFace], threshold: float) -> dict[str, int]:
    """Return by identity_id the place of the face that keeps each recognised person. Of equal cosines the first face
    counts, and of its candidates the first."""
    pairs = sorted(
        (-candidate.cosine, place, rank, candidate.person.identity_id)
        for place, face in enumerate(faces)
        for rank, candidate in enumerate(face.nearest)
        if candidate.cosine >= threshold
    )
    keepers, served = dict[str, int](), set[int]()
    for _, place, _, identity_id in pairs:
        if place not in served and identity_id not in keepers:
            keepers[identity_id] = place
            served.add(place)
    return keepers

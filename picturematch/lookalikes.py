"""Reads everybody's embeddings from the people topic, and describes pairs of people whose faces are alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from capture.replaying.embedder import EmbedderFacts
from contract.people.directory import Directory
from contract.people.keys import MEAN_FACE, FaceKey
from contract.people.records import FaceRecord, PersonRecord
from contract.terms import PERSON_STRANGER
from contract.text import printable
from contract.vectors import Vector, Vectors
from engine.calls.lookalikes import share_permission, share_scope
from engine.gallery.packed import rounded
from engine.gallery.pairs import AlikePair
from engine.gallery.templates import mean_of_faces
from engine.policy import Policy
from engine.threshold import AppliedThreshold

FaceName = int | Literal["mean"]
"""The number of a face, or "mean" for the mean of the faces of a person."""


class Faces(Directory):
    """The fold of the people topic with the embeddings of one embedder."""

    def __init__(self, embedder: EmbedderFacts) -> None:
        super().__init__(embedder.identity, embedder.dimension)
        self._vectors: dict[FaceKey, Vector] = {}

    def listed(self, *, means: bool) -> "ListedFaces":
        """Return everybody's faces with an embedding of the embedder, by person, and with `means` also their means.

        People of type 4 (stranger) are left out, because they are nobody's look-alikes.
        """
        listed = sorted(each.identity_id for each in self.everybody() if each.person_type != PERSON_STRANGER)
        people = [person for identity_id in listed if (person := self.person(identity_id)) is not None]
        owners: list[int] = []
        numbers: list[int] = []
        vectors: list[Vector] = []
        for place, person in enumerate(people):
            faces = self._known_faces(person)
            mean = mean_of_faces(faces) if means else None
            for number, vector in (faces if mean is None else {**faces, MEAN_FACE: mean}).items():
                owners.append(place)
                numbers.append(number)
                vectors.append(vector)
        rows = np.array(vectors, np.float32).reshape(len(vectors), self._dimension)
        means_of_faces = np.array([number == MEAN_FACE for number in numbers], np.bool_)
        return ListedFaces(people, np.array(owners, np.int64), numbers, rows, means_of_faces)

    def _known_faces(self, person: PersonRecord) -> dict[int, Vector]:
        keys = (FaceKey(person.identity_id, number, self._embedder or "") for number in person.faces)
        return {key.number: self._vectors[key] for key in keys if key in self._vectors}

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        super()._put_face(key, record, vector)
        if key.embedder == self._embedder:
            self._vectors[key] = rounded(vector)

    def _remove_face(self, key: FaceKey) -> None:
        super()._remove_face(key)
        self._vectors.pop(key, None)


@dataclass(frozen=True, slots=True, eq=False)
class ListedFaces:
    """The people in the order of their ids; by template, the place of its person among them, its number and its vector.

    `means`: by template, whether it is the mean of the person's faces; its number is MEAN_FACE.
    """

    people: Sequence[PersonRecord]
    owners: NDArray[np.int64]
    numbers: Sequence[int]
    vectors: Vectors
    means: NDArray[np.bool_]


class LookalikeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of people as the command prints it; `faces` has for both the number of the nearest face.

    "mean" instead of a number: the mean of the person's faces is nearer than each of them.
    """

    identity_ids: tuple[str, str]
    names: tuple[str, str]
    faces: tuple[FaceName, FaceName]
    cosine: float
    score: float
    percent: float
    shares_scope: bool
    advice: str

    def text(self) -> str:
        """Return the pair as a line of text."""
        one, other = (
            f"{who} ({name or 'no name'}, {'mean of the faces' if face == 'mean' else f'face {face}'})"
            for who, name, face in zip(self.identity_ids, self.names, self.faces, strict=True)
        )
        scope = "searched together" if self.shares_scope else "in no search of one group together"
        return printable(
            f"{one} and {other}: cosine {self.cosine:.3f}, score {self.score:.3f} ({self.percent:.1f} %), {scope};"
            f" {self.advice}"
        )


def line_of(pair: AlikePair, faces: ListedFaces, threshold: AppliedThreshold, policy: Policy) -> LookalikeLine:
    """Return the line about a pair; `threshold` is that of a search among everybody, for the scores."""
    one, other = faces.people[pair.one], faces.people[pair.other]
    names = _name(one), _name(other)
    shares = share_scope(one, other)
    return LookalikeLine(
        identity_ids=(one.identity_id, other.identity_id),
        names=names,
        faces=(_face(faces, pair.one_row), _face(faces, pair.other_row)),
        cosine=round(pair.cosine, 6),
        score=round(threshold.score(pair.cosine, policy), 6),
        percent=round(threshold.percent(pair.cosine, policy), 4),
        shares_scope=shares,
        advice=_advice(names, shares, share_permission(one, other)),
    )


def _face(faces: ListedFaces, row: int) -> FaceName:
    return "mean" if faces.means[row] else faces.numbers[row]


def _name(person: PersonRecord) -> str:
    name = person.info.get("name")
    return name if isinstance(name, str) else ""


def _advice(names: tuple[str, str], shares_scope: bool, shares_permission: bool) -> str:
    if names[0] and names[0] == names[1]:
        return "both have one name: if they are one person, give one id all groups and photos, and delete the other"
    if shares_scope:
        return (
            "if they are one person, delete one of the ids; if they are two, enrol a further photo of each, or put them"
            " into groups that no device searches together"
        )
    if shares_permission:
        return (
            "if they are one person, delete one of the ids; if they are two, only searches of version 6, which compare"
            " the people of all groups, can confuse them"
        )
    return "if they are one person, delete one of the ids; if they are two, nothing needs to be done"

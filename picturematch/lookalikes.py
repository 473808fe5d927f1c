"""Reads everybody's embeddings from the people topic, and describes pairs of people whose faces are alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from capture.replaying.embedder import EmbedderFacts
from contract.people.directory import Directory
from contract.people.keys import FaceKey
from contract.people.records import FaceRecord, PersonRecord
from contract.text import printable
from contract.vectors import Vector, Vectors
from engine.calls.lookalikes import share_scope
from engine.gallery.pairs import AlikePair
from engine.policy import Policy
from engine.threshold import AppliedThreshold


class Faces(Directory):
    """The fold of the people topic with the embeddings of one embedder."""

    def __init__(self, embedder: EmbedderFacts) -> None:
        super().__init__(embedder.identity, embedder.dimension)
        self._vectors: dict[FaceKey, Vector] = {}

    def listed(self) -> "ListedFaces":
        """Return everybody's faces with an embedding of the embedder, by person."""
        people = sorted(self.everybody(), key=lambda person: person.identity_id)
        keys = [
            (number, FaceKey(person.identity_id, face, self._embedder or ""))
            for number, person in enumerate(people)
            for face in person.faces
        ]
        keys = [(number, key) for number, key in keys if key in self._vectors]
        vectors = np.empty((len(keys), self._dimension), np.float32)
        for row, (_, key) in enumerate(keys):
            vectors[row] = self._vectors[key]
        owners = np.array([number for number, _ in keys], np.int64)
        return ListedFaces(people, owners, [key.number for _, key in keys], vectors)

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        super()._put_face(key, record, vector)
        if key.embedder == self._embedder:
            self._vectors[key] = vector

    def _remove_face(self, key: FaceKey) -> None:
        super()._remove_face(key)
        self._vectors.pop(key, None)


@dataclass(frozen=True, slots=True, eq=False)
class ListedFaces:
    """The people in the order of their ids; by face, the place of its person among them, its number and its vector."""

    people: Sequence[PersonRecord]
    owners: np.typing.NDArray[np.int64]
    numbers: Sequence[int]
    vectors: Vectors


class LookalikeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of people as the command prints it; `faces` are the numbers of the nearest faces of both."""

    identity_ids: tuple[str, str]
    names: tuple[str, str]
    faces: tuple[int, int]
    cosine: float
    score: float
    percent: float
    shares_scope: bool
    advice: str

    def text(self) -> str:
        """Return the pair as a line of text."""
        one, other = (
            f"{who} ({name or 'no name'}, face {face})"
            for who, name, face in zip(self.identity_ids, self.names, self.faces, strict=True)
        )
        scope = "searched together" if self.shares_scope else "never searched together"
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
        faces=(faces.numbers[pair.one_row], faces.numbers[pair.other_row]),
        cosine=round(pair.cosine, 6),
        score=round(threshold.score(pair.cosine, policy), 6),
        percent=round(threshold.percent(pair.cosine, policy), 4),
        shares_scope=shares,
        advice=_advice(names, shares),
    )


def _name(person: PersonRecord) -> str:
    name = person.info.get("name")
    return name if isinstance(name, str) else ""


def _advice(names: tuple[str, str], shares_scope: bool) -> str:
    if names[0] and names[0] == names[1]:
        return "both have one name: if they are one person, give one id all groups and photos, and delete the other"
    if shares_scope:
        return (
            "if they are one person, delete one of the ids; if they are two, enrol a further photo of each, or put them"
            " into groups that no device searches together"
        )
    return "if they are one person, delete one of the ids; if they are two, nothing needs to be done"

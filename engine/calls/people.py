"""What the calls that change people have in common: a face made ready, the decision, and its event."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from msgspec import structs

from contract.errors import Code, Refusal
from contract.events import Event, EventScope
from contract.messages import DeletedAnswer, PersonAnswer, PersonRequest, encode
from contract.people.keys import face_key, photo_key
from contract.people.records import FaceRecord, PhotoReference
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vector
from engine.calls.reporting import Circumstances, check_results, text_or_empty
from engine.context import Context
from engine.gallery.people import KnownPerson
from engine.look import NOTHING_FOUND, Findings

KeyedValue = tuple[bytes, bytes | None]
"""Key and value of a record of a compacted topic; None deletes."""

PhotoPlace = tuple[int, int]
"""Partition and offset of a record of the photos topic."""

PEOPLE_UNREADABLE = Refusal(
    Code.OVERLOADED, "a record of the enrolled people cannot be read; the operator must replace it"
)


class PeopleNow(Protocol):
    """The people as every decision before this one left them."""

    @property
    def count(self) -> int:
        """How many people there are."""
        ...

    @property
    def unreadable(self) -> bool:
        """Whether a record about somebody cannot be read, so that a person may be missing."""
        ...

    def known(self, identity_id: str) -> KnownPerson:
        """Everything that a decision about this person needs to know."""
        ...

    def hidden_keys(self, identity_id: str) -> Sequence[bytes]:
        """All keys about a person of whom a record cannot be read; none where every record can be read."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFace:
    """A face ready to be enrolled: its unit vector and, if it came as a photo, that photo as a JPEG.

    `sha256` is that of the JPEG, `sent_sha256` that of the file that was sent.
    """

    vector: Vector
    jpeg: bytes | None = None
    sha256: bytes | None = None
    sent_sha256: bytes | None = None

    @classmethod
    def of(cls, vector: Vector, sent: bytes | None, jpeg: bytes | None) -> "PreparedFace":
        """The face with the digests of its photo."""
        if sent is None or jpeg is None:
            return cls(vector)
        sent_sha256 = sha256(sent).digest()
        return cls(vector, jpeg, sent_sha256 if jpeg == sent else sha256(jpeg).digest(), sent_sha256)

    @property
    def photo(self) -> PhotoReference | None:
        """How the face's record names the photo, before it has a place in the log."""
        if self.sha256 is None:
            return None
        sent = self.sent_sha256 if self.sent_sha256 != self.sha256 else None
        return PhotoReference(sha256=self.sha256, sent_sha256=sent, partition=0, offset=0)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What could be done about a request before its turn. `refusal`: the face that it brings cannot be enrolled."""

    face: PreparedFace | None = None
    findings: Findings = NOTHING_FOUND
    refusal: Refusal | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


NOTHING_PREPARED = Prepared()


@dataclass(frozen=True, slots=True, eq=False)
class PersonDecision:
    """What becomes of the photos topic and the people topic, and the answer to the sender.

    `photos` are written first, in this order; `people_records` then gives the records of the people topic. `after` is
    the person as those records leave it: what the next decision about this person builds on. With a `refusal` nothing
    is written about people, and there is no answer.
    """

    outcome: str
    identity_id: str = ""
    answer: PersonAnswer | DeletedAnswer | None = None
    after: KnownPerson = field(default_factory=KnownPerson)
    photos: tuple[KeyedValue, ...] = ()
    face: FaceRecord | None = None
    others: tuple[KeyedValue, ...] = ()
    refusal: Refusal | None = None
    findings: Findings = NOTHING_FOUND
    timings_ms: dict[str, float] = field(default_factory=dict)

    def require_answer(self) -> PersonAnswer | DeletedAnswer:
        """The answer.

        Raises:
            ValueError: the request was refused.
        """
        if self.answer is None:
            raise ValueError("a refused request has no answer of its own")
        return self.answer

    @property
    def changes(self) -> bool:
        """Whether anything is written about people."""
        return bool(self.face or self.others)

    def people_records(self, places: Sequence[PhotoPlace] = ()) -> tuple[KeyedValue, ...]:
        """The records of the people topic, in the order of writing. `places`: where `photos` were written."""
        face = self.face
        if face is None:
            return self.others
        if face.photo is not None:
            partition, offset = places[0]
            face = structs.replace(face, photo=structs.replace(face.photo, partition=partition, offset=offset))
        return ((face_key(face.identity_id, face.number, face.embedder), encode(face)), *self.others)


def refuse_change(refusal: Refusal, prepared: Prepared) -> PersonDecision:
    """The decision about a request whose answer is that error."""
    outcome = "expired" if refusal.code is Code.TIMEOUT else "refused"
    return PersonDecision(outcome, refusal=refusal, findings=prepared.findings, timings_ms=prepared.timings_ms)


def person_event(
    kind: str, request: PersonRequest, decision: PersonDecision, context: Context, at: Circumstances
) -> Event:
    """What happened to a request about a person. The gallery version is the one that holds its records."""
    info = decision.answer.info if isinstance(decision.answer, PersonAnswer) else {}
    return structs.replace(
        at.event(kind, request, decision.outcome, decision.refusal),
        identity_id=request.identity_id,
        name=text_or_empty(info.get("name")),
        identity_info=info if info and context.policy.event_identity_info else None,
        scope=EventScope(group_name=DEFAULT_GROUP),
        quality=check_results(decision.findings.quality),
        quality_score=decision.findings.quality_score,
        timings_ms=decision.timings_ms,
    )


def deleted_photos(identity_id: str, numbers: Sequence[int], known: KnownPerson) -> Iterator[KeyedValue]:
    """The records that delete the photos of these faces."""
    return ((photo_key(identity_id, number), None) for number in numbers if number in known.photos)


def deleted_faces(identity_id: str, numbers: Sequence[int], known: KnownPerson) -> Iterator[KeyedValue]:
    """The records that delete these faces, of every embedder."""
    return ((face_key(identity_id, n, name), None) for n in numbers for name in known.embedders.get(n, ()))

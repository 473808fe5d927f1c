"""The common parts of the calls that change people or the site: the prepared face, the decision, and the event of a
decision about a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Protocol

from msgspec import structs

from contract.answers import Answer, DeletedAnswer, PersonAnswer
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event, EventScope
from contract.findings import Lookalike
from contract.people.keys import face_key, person_key, photo_key
from contract.people.listing import ListedPerson
from contract.people.records import COVERED_FACE, WHOLE_FACE, FaceRecord, PersonRecord, PhotoReference
from contract.people.site import Site
from contract.requests import PersonRequest
from contract.terms import Cover
from contract.vectors import Vector
from engine.calls.reporting import Circumstances, check_results, text_or_empty
from engine.context import Context
from engine.gallery.people import KnownPerson
from engine.gallery.port import Candidate, Scope
from engine.look import NOTHING_FOUND, Findings
from engine.policy import Policy

KeyedValue = tuple[bytes, bytes | None]
"""The key and the value of a record of a compacted topic; the value None deletes the key."""

PhotoPlace = tuple[int, int]
"""The partition and the offset of a record of the photos topic."""

PEOPLE_UNREADABLE = Refusal(
    Code.OVERLOADED, "a record of the enrolled people cannot be read; the operator must replace it"
)


def info_lost(identity_id: str) -> Refusal:
    """Return the refusal of a change that keeps the info of a person whose stored info cannot be read any more."""
    return Refusal(
        Code.OVERLOADED,
        f"the info of {identity_id} cannot be read any more: PUT the person's whole info again, or delete the person",
    )


class PeopleNow(Protocol):
    """The people and the site after all earlier decisions, including those that are not committed yet."""

    @property
    def count(self) -> int:
        """The number of enrolled people."""
        ...

    @property
    def unreadable(self) -> bool:
        """Whether a record of the people topic cannot be read, so that a person may be missing."""
        ...

    @property
    def site(self) -> Site:
        """The groups, permissions, devices, settings and API keys."""
        ...

    def members(self, group_id: str) -> int:
        """Return the number of people in a group, without those whom matches have enrolled as strangers."""
        ...

    @property
    def strangers(self) -> int:
        """The number of people whom matches have enrolled as strangers."""
        ...

    def oldest_strangers(self, most: int) -> Sequence[str]:
        """Return the ids of at most `most` people whom matches have enrolled as strangers, the oldest first."""
        ...

    def known(self, identity_id: str) -> KnownPerson:
        """Return everything that a decision about this person needs."""
        ...

    def everybody(self) -> Iterator[ListedPerson]:
        """Yield every person, in no particular order."""
        ...

    def templates(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
        ...

    def embedding_length(self, embedder: str) -> int | None:
        """Return the length of the embeddings of an embedder, by its identity; None: no face has one."""
        ...

    def alike(self, vector: Vector, cosine: float, *, means: bool, most: int) -> Sequence[Candidate]:
        """Return the `most` nearest people who have a face with at least that cosine to a unit vector.

        They are in the order of the port. `means`: the mean of a person's faces counts like a face.
        """
        ...

    def hidden_keys(self, identity_id: str) -> Sequence[bytes]:
        """Return all keys of a person of whom a record cannot be read; empty where every record can be read."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFace:
    """A face that is ready to be enrolled: its unit vector and, where the request contains a photo, that as a JPEG.

    `sha256` is the hash of the JPEG, `sent_sha256` the hash of the file that was sent. `covered`: by cover, the
    template of the face with that cover (unit vector); empty where the request contains only a feature.
    """

    vector: Vector
    jpeg: bytes | None = None
    sha256: bytes | None = None
    sent_sha256: bytes | None = None
    covered: Mapping[Cover, Vector] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        vector: Vector,
        sent: bytes | None,
        jpeg: bytes | None,
        covered: Mapping[Cover, Vector] = MappingProxyType({}),
    ) -> "PreparedFace":
        """Return a prepared face with the hashes of its photo."""
        if sent is None or jpeg is None:
            return cls(vector, covered=covered)
        sent_sha256 = sha256(sent).digest()
        return cls(vector, jpeg, sent_sha256 if jpeg == sent else sha256(jpeg).digest(), sent_sha256, covered)

    @property
    def templates(self) -> dict[str, bytes]:
        """The templates as contract.people.records.FaceRecord has them."""
        covered = {COVERED_FACE[cover]: vector for cover, vector in self.covered.items()}
        return {kind: vector.astype("<f4").tobytes() for kind, vector in {WHOLE_FACE: self.vector, **covered}.items()}

    @property
    def photo(self) -> PhotoReference | None:
        """The reference to the photo, with partition 0 and offset 0 because the photo is not written yet."""
        if self.sha256 is None:
            return None
        sent = self.sent_sha256 if self.sent_sha256 != self.sha256 else None
        return PhotoReference(sha256=self.sha256, sent_sha256=sent, partition=0, offset=0)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The prepared part of a request. `refusal`: the face in the request cannot be enrolled, for that reason."""

    face: PreparedFace | None = None
    findings: Findings = NOTHING_FOUND
    refusal: Refusal | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


NOTHING_PREPARED = Prepared()


@dataclass(frozen=True, slots=True, eq=False)
class ChangeDecision:
    """The decision about a request that changes people or the site: the records to write, and the answer.

    `photos` are the records of the photos topic, which are written first, in this order; `people_records` then returns
    the records of the people topic: `faces`, and then `others`. `people` are the people, by identity_id, and `site` is
    the site as these records leave them (None: unchanged), on which the next decision is based. Where `refusal` is set
    no such records are written, and `answer` is None. `lookalikes`: the people who are too similar to the face.

    The photo of a face may be written by this decision or by an earlier one of the same transaction. Its place is then
    unknown until the photos are written, and `people_records` puts it into the record.
    """

    outcome: str
    answer: Answer | None = None
    people: Mapping[str, KnownPerson] = field(default_factory=dict)
    site: Site | None = None
    photos: tuple[KeyedValue, ...] = ()
    faces: tuple[FaceRecord, ...] = ()
    others: tuple[KeyedValue, ...] = ()
    refusal: Refusal | None = None
    findings: Findings = NOTHING_FOUND
    timings_ms: dict[str, float] = field(default_factory=dict)
    lookalikes: tuple[Lookalike, ...] = ()

    def require_answer(self) -> Answer:
        """Return the answer.

        Raises:
            ValueError: the request was refused.
        """
        if self.answer is None:
            raise ValueError("a refused request has no answer of its own")
        return self.answer

    @property
    def changes(self) -> bool:
        """Whether any record of the people topic is written."""
        return bool(self.faces or self.others)

    def photo_places(self, places: Sequence[PhotoPlace]) -> Mapping[bytes, PhotoPlace]:
        """Return the places of the photos by their keys. `places`: the places in the order of `photos`."""
        return dict(zip((key for key, _ in self.photos), places, strict=True))

    def people_records(
        self, places: Sequence[PhotoPlace] = (), earlier: Mapping[bytes, PhotoPlace] = MappingProxyType({})
    ) -> tuple[KeyedValue, ...]:
        """Return the records of the people topic, in the order of writing.

        Args:
            places: the places of `photos`, in their order.
            earlier: the places of the photos that earlier decisions of the same transaction wrote, by key.
        """
        written = {**earlier, **self.photo_places(places)}
        faces = [_placed(face, written) for face in self.faces]
        return (
            *((face_key(face.identity_id, face.number, face.embedder), encode(face)) for face in faces),
            *self.others,
        )


def _placed(face: FaceRecord, places: Mapping[bytes, PhotoPlace]) -> FaceRecord:
    """Return the record with the place of its photo, where that is among `places` (by key)."""
    place = places.get(photo_key(face.identity_id, face.number))
    if face.photo is None or place is None:
        return face
    partition, offset = place
    return structs.replace(face, photo=structs.replace(face.photo, partition=partition, offset=offset))


def merged_info(before: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an info whose members are replaced by those of the same name; a member whose value is None is removed."""
    return {name: value for name, value in {**before, **(changes or {})}.items() if value is not None}


def require_room(people: PeopleNow, before: PersonRecord | None, group_ids: Sequence[str], policy: Policy) -> None:
    """Return where a person may be in these groups afterwards.

    Raises:
        Refused: 40015: a group that the person is not in yet is full.
    """
    present = before.group_ids if before else ()
    if any(people.members(group_id) >= policy.max_people for group_id in group_ids if group_id not in present):
        raise Refused(Code.GROUP_LEN_ERROR, "the group is full; remove people or raise the limit in the settings")


def refuse_change(refusal: Refusal, prepared: Prepared) -> ChangeDecision:
    """Return the decision that answers a request with that refusal."""
    outcome = "expired" if refusal.code is Code.TIMEOUT else "refused"
    return ChangeDecision(outcome, refusal=refusal, findings=prepared.findings, timings_ms=prepared.timings_ms)


def person_event(
    kind: str, request: PersonRequest, decision: ChangeDecision, context: Context, at: Circumstances
) -> Event:
    """Return the event of a request that changes people; its gallery version contains the records that it wrote."""
    answer = decision.answer
    info = answer.info if isinstance(answer, PersonAnswer) else {}
    groups = answer.group_names if isinstance(answer, PersonAnswer | DeletedAnswer) else ()
    return structs.replace(
        at.event(kind, request, decision.outcome, decision.refusal),
        identity_id=request.identity_id,
        name=text_or_empty(info.get("name")),
        identity_info=info if info and context.policy.event_identity_info else None,
        lookalikes=decision.lookalikes,
        scope=EventScope(group_name=",".join(groups)) if groups else None,
        quality=check_results(decision.findings.quality),
        quality_score=decision.findings.quality_score,
        timings_ms=decision.timings_ms,
    )


def deleted_photos(identity_id: str, numbers: Sequence[int], known: KnownPerson) -> Iterator[KeyedValue]:
    """Return the records that delete the photos of the numbered faces."""
    return ((photo_key(identity_id, number), None) for number in numbers if number in known.photos)


def deleted_faces(identity_id: str, numbers: Sequence[int], known: KnownPerson) -> Iterator[KeyedValue]:
    """Return the records that delete the numbered faces of every embedder."""
    return ((face_key(identity_id, n, name), None) for n in numbers for name in known.embedders.get(n, ()))


def deleted_person(identity_id: str, known: KnownPerson) -> tuple[tuple[KeyedValue, ...], tuple[KeyedValue, ...]]:
    """Return the records that delete a person with all faces: those of the photos topic and of the people topic."""
    numbers = known.record.faces if known.record else ()
    return (
        tuple(deleted_photos(identity_id, numbers, known)),
        ((person_key(identity_id), None), *deleted_faces(identity_id, numbers, known)),
    )

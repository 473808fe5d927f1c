"""Reembed: add templates of another embedder to enrolled faces, or remove those of all but the embedder in use.

The templates were computed elsewhere, from the stored photos. So each is added only while its face is still enrolled
with the photo from which it was computed: a deletion, or a new photo, that came before in the admin topic wins. The
decision writes no person and no photo.

A face that has a record of the embedder in use without templates of covered faces gets these, and keeps its embedding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from msgspec import structs

from contract.answers import Answer, FaceOutcome, ReembeddedAnswer
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.kinds import kind_of
from contract.people.keys import FaceKey, NotReadable, face_key
from contract.people.records import COVERED_FACE, WHOLE_FACE, FaceRecord
from contract.people.unreadable import read_face
from contract.site_requests import EmbeddedFace, ReembedRequest
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.packed import finer
from engine.gallery.people import KnownPerson, Snapshot
from engine.policy import Policy

_BYTES_OF_NUMBER = 4


class ReembedCall(Change[ReembedRequest]):
    """The kind of call that adds templates of an embedder to enrolled faces, or removes those of the others."""

    kind = kind_of(ReembedRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("changed", "refused", "expired")
    request_type = ReembedRequest

    def change(
        self, request: ReembedRequest, prepared: Prepared, people: PeopleNow, context: Context
    ) -> ChangeDecision:
        """Add or remove the records of the faces that are still enrolled; the answer says what came of each.

        Raises:
            Refused: a record of the people cannot be read, the photos were embedded with other settings than those in
                force, an embedding is no unit vector or has another length than others of its embedder, or records are
                to be removed for another embedder than the one in use.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        if request.action == "remove" and request.embedder != context.models.embedder_identity:
            raise Refused(
                Code.PARAM_ERROR,
                f"embedder is not {context.models.embedder_identity}, the embedder in use: switch the server first, and"
                " then remove the records of its former embedder",
            )
        if request.action == "add":
            _require_settings(request, context.policy)
        outcomes: list[FaceOutcome] = []
        after: dict[str, KnownPerson] = {}
        added: list[FaceRecord] = []
        removed: list[KeyedValue] = []
        length = people.embedding_length(request.embedder)
        for face in request.faces:
            known = after.get(face.identity_id) or people.known(face.identity_id)
            before = known
            if request.action == "add":
                outcome, known, records = _added(request.embedder, face, known, context)
                for record in records:
                    length = _length(record, length)
                added += records
            else:
                outcome, known, tombstones = _removed(request.embedder, face, known)
                removed += tombstones
            outcomes.append(outcome)
            if known is not before:
                after[face.identity_id] = known
        answer = ReembeddedAnswer(outcomes=tuple(outcomes))
        return ChangeDecision("changed", answer, after, faces=tuple(added), others=tuple(removed))

    def refuse(self, request: ReembedRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(
        self, request: ReembedRequest, decision: ChangeDecision, context: Context, photo: bytes | None
    ) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: ReembedRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision: the people whose faces got or lost records."""
        return structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal), identity_ids=tuple(decision.people)
        )


def _require_settings(request: ReembedRequest, policy: Policy) -> None:
    """Return where photos were embedded with the settings with which an enrolment embeds them.

    Raises:
        Refused: the settings differ: another face of a photo may have been embedded, or other templates been made.
    """
    used = {"face": request.face, "covered_templates": request.covered_templates}
    for name, value in used.items():
        in_force = getattr(policy, name)
        if value is not None and value != in_force:
            raise Refused(
                Code.PARAM_ERROR,
                f"the photos were embedded with matching.{name} = {_in_toml(value)}, and this server enrols with"
                f" {_in_toml(in_force)}: embed them with the settings of the server",
            )


def _in_toml(value: str | bool) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _length(record: FaceRecord, length: int | None) -> int:
    """Return the length of the embeddings of a record. `length`: that of all others of the embedder; None: no others.

    Raises:
        Refused: the lengths differ. No process of another embedder would notice that, and with this embedder in use the
            records could not be read.
    """
    for data in record.templates.values():
        own = len(data) // _BYTES_OF_NUMBER
        if length is not None and own != length:
            raise Refused(
                Code.BAD_FEATURE_ERROR,
                f"an embedding of face {record.number} of {record.identity_id} has {own} numbers, and others of"
                f" {record.embedder} have {length}: one embedder has embeddings of one length. If the others are wrong,"
                " remove them first: picturematch people reembed --drop-old",
            )
        length = own
    if length is None:
        raise ValueError("the record has no embedding")
    return length


def _added(
    embedder: str, face: EmbeddedFace, known: KnownPerson, context: Context
) -> tuple[FaceOutcome, KnownPerson, Sequence[FaceRecord]]:
    """Return what comes of a face that gets templates, everything known afterwards, and the records to write."""
    number, photo = face.number, known.photos.get(face.number)
    if known.record is None or number not in known.record.faces:
        return "gone", known, ()
    if photo is None or photo.sha256 != face.photo_sha256:
        return "other_photo", known, ()
    in_use = context.models.embedder_identity
    covers = embedder == in_use and any(kind in face.templates for kind in COVERED_FACE.values())
    present = embedder in known.embedders.get(number, ())
    if present and (not covers or number in known.covered):
        return "present", known, ()
    record = FaceRecord(
        identity_id=face.identity_id, number=number, embedder=embedder, templates=face.templates, photo=photo
    )
    key = FaceKey(face.identity_id, number, embedder)
    try:
        _, vector = read_face(key, encode(record), in_use, context.models.embedder.dimension)
    except NotReadable as error:
        raise Refused(Code.BAD_FEATURE_ERROR, f"templates of face {number} of {face.identity_id}: {error}") from error
    if present:
        # The whole face keeps its embedding, so that a search by whole faces decides as before.
        vector = finer(known.vectors[number], vector)
        whole = vector.astype("<f4").tobytes()
        record = structs.replace(record, templates={**face.templates, WHOLE_FACE: whole})
    embedders = {**known.embedders, number: tuple(dict.fromkeys((*known.embedders.get(number, ()), embedder)))}
    after = replace(
        known,
        embedders=embedders,
        vectors={**known.vectors, number: vector} if embedder == in_use else known.vectors,
        covered=known.covered | {number} if covers else known.covered,
    )
    return "added", after, (record,)


def _removed(
    embedder: str, face: EmbeddedFace, known: KnownPerson
) -> tuple[FaceOutcome, KnownPerson, Sequence[KeyedValue]]:
    """Return what comes of a face that keeps the records of one embedder only, if it has any of that."""
    number = face.number
    if known.record is None or number not in known.record.faces:
        return "gone", known, ()
    present = known.embedders.get(number, ())
    others = [name for name in present if name != embedder]
    if embedder not in present or not others:
        return "kept", known, ()
    after = replace(known, embedders={**known.embedders, number: (embedder,)})
    return "removed", after, tuple(_tombstones(face, others))


def _tombstones(face: EmbeddedFace, embedders: Sequence[str]) -> Iterator[KeyedValue]:
    return ((face_key(face.identity_id, face.number, name), None) for name in embedders)

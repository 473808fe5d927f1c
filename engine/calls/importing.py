"""Import: enrol many people with one request, each of them whole or not at all.

The slow part, `ImportCall.prepare`, checks all embeddings together, embeds photos, and makes the records; it does not
depend on other requests. The decision compares each person with those who are enrolled. Look-alikes are not searched:
that would compare every imported face with everybody, and `picturematch people lookalikes` does so afterwards.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from msgspec import structs

from contract.answers import Answer, ImportedAnswer
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event, FailedImport, ImportResult
from contract.imports import ImportedPerson, ImportFailure
from contract.kinds import kind_of
from contract.people.keys import person_key, site_key
from contract.people.records import HELD_INFO, WHOLE_FACE, FaceRecord, PersonRecord
from contract.people.site import site_key_of
from contract.site_requests import ImportRequest
from contract.terms import DEFAULT_GROUP
from engine.calls.call import Change
from engine.calls.enrol import prepare_photo
from engine.calls.import_faces import PreparedImport, PreparedPerson, failure, prepared_import
from engine.calls.import_site import SiteChange, changed_site
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    refuse_change,
)
from engine.calls.reporting import Circumstances, error_info
from engine.context import Context
from engine.gallery.packed import rounded
from engine.gallery.people import KnownPerson, Snapshot

_BYTES_OF_NUMBER = 4


class ImportCall(Change[ImportRequest]):
    """The kind of call that imports people."""

    kind = kind_of(ImportRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("imported", "refused", "expired")
    request_type = ImportRequest

    def takes_long(self, request: ImportRequest) -> bool:
        """Return whether the request contains people."""
        return bool(request.people)

    def prepare(self, request: ImportRequest, context: Context) -> Prepared:
        """Return the people of the request, prepared, and those who cannot be imported."""
        level = request.quality_level or context.policy.enrolment_quality
        return prepared_import(request, context, partial(prepare_photo, levels=(level,), context=context))

    def change(self, request: ImportRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Import the people who can be; the answer names the others with their reasons.

        Raises:
            Refused: a record of the people cannot be read, or a group or permission cannot be created.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        site = changed_site(request.site, people, context.policy)
        ready = prepared if isinstance(prepared, PreparedImport) else PreparedImport()
        run = _Import(request, people, site, context)
        for person in ready.people:
            try:
                run.take(person)
            except Refused as refused:
                run.failed.append(failure(person.place, person.sent, refused))
        return run.decision(ready.failed)

    def refuse(self, request: ImportRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(self, request: ImportRequest, decision: ChangeDecision, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: ImportRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision: the people who were added, the counts, and those who failed."""
        event = at.event(self.kind, request, decision.outcome, decision.refusal)
        answer = decision.answer
        if not isinstance(answer, ImportedAnswer):
            return event
        result = ImportResult(
            added=answer.added,
            present=len(answer.present),
            faces=answer.faces,
            unsearched=answer.unsearched,
            failed=tuple(map(_failed, answer.failed)),
        )
        return structs.replace(event, identity_ids=tuple(decision.people), imported=result)


def _failed(one: ImportFailure) -> FailedImport:
    error = error_info(Refusal(Code(one.code), one.message))
    return FailedImport(place=one.place, identity_id=one.identity_id, error=error)


@dataclass(slots=True)
class _Import:
    """One import while it is decided: what came of the people until now, and the records to write."""

    request: ImportRequest
    people: PeopleNow
    site: SiteChange
    context: Context
    failed: list[ImportFailure] = field(default_factory=list)
    present: list[int] = field(default_factory=list)
    after: dict[str, KnownPerson] = field(default_factory=dict)
    faces: list[FaceRecord] = field(default_factory=list)
    photos: list[KeyedValue] = field(default_factory=list)
    persons: list[KeyedValue] = field(default_factory=list)
    _joined: Counter[str] = field(default_factory=Counter)
    _lengths: dict[str, int] = field(default_factory=dict)
    _groups: dict[tuple[str, ...], tuple[str, ...] | None] = field(default_factory=dict)

    def take(self, person: PreparedPerson) -> None:
        """Decide about the next person.

        Raises:
            Refused: the person is not imported.
        """
        identity_id = person.sent.identity_id
        group_ids = self._group_ids(person.sent)
        known = self.after.get(identity_id) or self.people.known(identity_id)
        if known.record is not None:
            if not _is_same(person, group_ids, known, known.record):
                raise Refused(
                    Code.IDENTITY_EXSIT_ERROR,
                    "this identity_id is enrolled already, with other faces, groups or another info: delete the person"
                    " first, or change the person",
                )
            self.present.append(person.place)
            return
        self._require_permissions(person.info)
        lengths = self._lengths_with(person)
        if any(
            self.people.members(group_id) + self._joined[group_id] >= self.context.policy.max_people
            for group_id in group_ids
        ):
            raise Refused(Code.GROUP_LEN_ERROR, "the group is full; remove people or raise the limit in the settings")
        self._lengths |= lengths
        self._joined.update(group_ids)
        record = PersonRecord(
            identity_id=identity_id,
            group_ids=group_ids,
            info=person.info,
            faces=person.numbers,
            next_face=person.next_face,
            enrolled_time=person.sent.enrolled_time,
        )
        self.faces += person.faces
        self.photos += person.photos
        self.persons.append((person_key(identity_id), encode(record)))
        self.after[identity_id] = KnownPerson(
            record,
            person.vectors,
            person.embedders,
            {face.number: face.photo for face in person.faces if face.photo is not None},
            covered=frozenset(
                face.number
                for face in person.faces
                if len(face.templates) > 1 and face.embedder == self.context.models.embedder_identity
            ),
        )

    def decision(self, failed_before: Sequence[ImportFailure]) -> ChangeDecision:
        """Return the decision. `failed_before`: the people who could not be prepared."""
        numbers = {(face.identity_id, face.number) for face in self.faces}
        searched = sum(len(known.vectors) for known in self.after.values())
        answer = ImportedAnswer(
            added=len(self.after),
            present=tuple(self.present),
            faces=len(numbers),
            unsearched=len(numbers) - searched,
            failed=tuple(sorted((*failed_before, *self.failed), key=lambda one: one.place)),
            groups=dict(self.site.groups),
            permissions=dict(self.site.permissions),
        )
        site = [(site_key(site_key_of(record)), encode(record)) for record in self.site.new]
        return ChangeDecision(
            "imported",
            answer,
            self.after,
            self.site.site if self.site.new else None,
            photos=tuple(self.photos),
            faces=tuple(self.faces),
            others=(*site, *self.persons),
        )

    def _group_ids(self, person: ImportedPerson) -> tuple[str, ...]:
        """Return the groups of a person, by id. Restored ids are taken as they are, also those of deleted groups.

        Raises:
            Refused: a group does not exist.
        """
        if person.group_names is None:
            if person.group_ids is None:
                return (DEFAULT_GROUP,)
            if not self.request.restore and not self.site.site.groups.keys() >= set(person.group_ids):
                raise Refused(Code.NOT_FOUND, "a group that group_ids names does not exist")
            return person.group_ids
        if person.group_names not in self._groups:
            found = [self.site.site.group_named(name) for name in person.group_names]
            ids = tuple(group.group_id for group in found if group is not None)
            self._groups[person.group_names] = ids if len(ids) == len(found) else None
        ids_or_none = self._groups[person.group_names]
        if ids_or_none is None:
            raise Refused(Code.NOT_FOUND, "a group that group_name names does not exist")
        return ids_or_none

    def _require_permissions(self, info: Mapping[str, Any]) -> None:
        if self.request.restore:
            return
        unknown = [one for one in info.get("permission_ids", ()) if one not in self.site.site.permissions]
        if unknown:
            raise Refused(
                Code.PARAM_ERROR, f"info.permission_ids names permissions that do not exist: {', '.join(unknown)}"
            )

    def _lengths_with(self, person: PreparedPerson) -> Mapping[str, int]:
        """Return the lengths of the embeddings of a person, by embedder.

        Raises:
            Refused: others of the embedder have another length.
        """
        lengths: dict[str, int] = {}
        for face in person.faces:
            length = len(face.templates[WHOLE_FACE]) // _BYTES_OF_NUMBER
            known = lengths.get(face.embedder) or self._lengths.get(face.embedder)
            known = known or self.people.embedding_length(face.embedder)
            if known is not None and known != length:
                raise Refused(
                    Code.BAD_FEATURE_ERROR,
                    f"a template of face {face.number} has {length} numbers; others of {face.embedder} have {known}",
                )
            lengths[face.embedder] = length
        return lengths


def _is_same(person: PreparedPerson, group_ids: Sequence[str], known: KnownPerson, record: PersonRecord) -> bool:
    """Return whether somebody is enrolled exactly as imported: groups, faces, and those members of the info that every
    process keeps."""
    held = {name: person.info[name] for name in HELD_INFO if name in person.info}
    return (
        set(group_ids) == set(record.group_ids)
        and held == {name: record.info[name] for name in HELD_INFO if name in record.info}
        and len(person.numbers) == len(record.faces)
        and all(_same_face(person, *pair, known) for pair in zip(person.numbers, record.faces, strict=True))
    )


def _same_face(person: PreparedPerson, sent: int, enrolled: int, known: KnownPerson) -> bool:
    if set(person.embedders[sent]) != set(known.embedders.get(enrolled, ())):
        return False
    vector, other = person.vectors.get(sent), known.vectors.get(enrolled)
    if (vector is None) != (other is None) or (
        vector is not None and other is not None and not np.array_equal(rounded(vector), other)
    ):
        return False
    photo = next((face.photo for face in person.faces if face.number == sent), None)
    stored = known.photos.get(enrolled)
    return (photo and photo.digest) == (stored and stored.digest)

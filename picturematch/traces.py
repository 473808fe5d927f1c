"""Finds the records of the log that are about one person. Pure: records in, places out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from broker.port import Position, Record
from contract.answers import MatchAnswer, PersonAnswer, decode_reply
from contract.audit import ChangeRecord, decode_audit
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.events import Event, decode_event
from contract.evidence import decode_evidence
from contract.kinds import ERASE_KIND, REPAIR_KIND, kind_of
from contract.people.keys import NotReadable, PersonKey, parse_key, person_of
from contract.requests import DeleteRequest, EnrolRequest, Request, StrangerRequest, decode_request
from contract.site_requests import ImportRequest, MembersRequest, ReembedRequest
from contract.topics import Topics
from engine.calls.match import MatchCall
from engine.calls.matching import RECOGNISED
from engine.calls.stranger import StrangerCall


@dataclass(slots=True)
class Found:
    """The places of records of one topic, and the time at which the newest of them was written (epoch ms)."""

    places: list[Position] = field(default_factory=list)
    newest_ms: int = 0

    def add(self, record: Record) -> None:
        """Add the place of a record."""
        self.places.append(record.position)
        self.newest_ms = max(self.newest_ms, record.timestamp_ms)


class Traces:
    """What the records of the log contain about a person.

    The events must be taken before the evidence and the dead letters, because they name the requests in which the
    person was recognised. So must the admin topic, because a request to enrol a stranger names the match in which that
    stranger was seen. `requests` are the places of these requests; the caller reads those that still exist, and takes
    them. `by_topic`: the name of a topic -> its records about the person. `naming`: the name of a topic -> its
    records that only name the person beside what they are about, and contain no picture or embedding of the person:
    evidence about other faces, with the person as a less similar candidate; answers about other people, whose
    look-alike the person is; and requests, or dead letters of requests, that delete the person or change the members of
    a group; and dead letters of events. `enrolled`: whether the person still has a record.
    `version`: the gallery version up to which the people were read.
    """

    def __init__(self, identity_id: str, topics: Topics) -> None:
        self.identity_id = identity_id
        self.by_topic: dict[str, Found] = {}
        self.naming: dict[str, Found] = {}
        self.requests: dict[Position, str] = {}
        self.deletion: Event | None = None
        self.enrolled = False
        self.version = 0
        self._named: set[bytes] = set()
        self._seen_by: set[str] = set()  # requests to enrol a stranger, who was this person
        self._topics = topics
        self._is_trace: Mapping[str, Callable[[Record], bool]] = {
            topics.events: self._in_event,
            topics.requests: self._in_request,
            topics.admin: self._in_admin,
            topics.replies: self._in_reply,
            topics.evidence: self._in_evidence,
            topics.dead_letters: self._in_dead_letter,
            topics.people: self._in_people,
            topics.photos: self._in_photos,
            topics.audit: self._in_audit,
        }

    @property
    def order(self) -> tuple[str, ...]:
        """The topics to read from their beginning, in this order; the requests are read by their places instead."""
        return tuple(topic for topic in self._is_trace if topic != self._topics.requests)

    def take(self, records: Iterable[Record]) -> None:
        """Take the next records of a topic. Damaged records, and records of unknown form, count as unrelated."""
        for record in records:
            if self._is_trace[record.topic](record) and not record.erased:
                self.by_topic.setdefault(record.topic, Found()).add(record)

    def newest_ms(self, topic: str) -> int | None:
        """Return when the newest record of the topic about the person was written (epoch ms); None: there is none."""
        found = (self.by_topic.get(topic), self.naming.get(topic))
        return max((one.newest_ms for one in found if one is not None), default=None)

    def _in_event(self, record: Record) -> bool:
        try:
            event = decode_event(record.value or b"")
        except msgspec.DecodeError:
            return False
        if self.identity_id not in {event.identity_id, *(face.identity_id for face in event.searched)}:
            return self.identity_id in {*event.identity_ids, *(alike.identity_id for alike in event.lookalikes)}
        place = Position(event.request.topic, event.request.partition, event.request.offset)
        # The event of a stranger may name the nearest person; that of a comparison has the name that its caller sent.
        if place.topic == self._topics.requests and event.kind == MatchCall.kind and self._is_recognised_in(event):
            self.requests[place] = event.id
            self._named.add(event.id.encode())
        if event.kind == StrangerCall.kind and event.identity_id == self.identity_id:
            self._seen_by.add(event.id)
        if (event.kind, event.outcome) == ("delete", "deleted"):
            self.deletion = event
        return True

    def _is_named_in_event(self, value: bytes | None) -> bool:
        try:
            event = decode_event(value or b"")
        except msgspec.DecodeError:
            return False
        alike = (alike.identity_id for alike in event.lookalikes)
        faces = (face.identity_id for face in event.searched)
        return self.identity_id in {event.identity_id, *event.identity_ids, *faces, *alike}

    def _is_recognised_in(self, event: Event) -> bool:
        """Return whether the person was recognised in one of the faces of the picture."""
        found = ((event.identity_id, event.outcome), *((face.identity_id, face.outcome) for face in event.searched))
        return any(who == self.identity_id and outcome in RECOGNISED for who, outcome in found)

    def _in_request(self, record: Record) -> bool:
        try:
            request = decode_request(record.value or b"")
        except msgspec.DecodeError:
            return False
        return self.requests.get(record.position) == request.request_id

    def _in_admin(self, record: Record) -> bool:
        return self._is_enrolment(record, record.value)

    def _is_enrolment(self, record: Record, value: bytes | None) -> bool:
        """Return whether the request in `value` has a photo or an embedding of the person.

        The record is noted where the request only names the person.
        """
        try:
            request = decode_request(value or b"")
        except msgspec.DecodeError:
            return False
        if isinstance(request, EnrolRequest):
            return request.identity_id == self.identity_id
        if isinstance(request, StrangerRequest):
            return self._is_of_stranger(request)
        if isinstance(request, ReembedRequest) and request.action == "add":
            return any(face.identity_id == self.identity_id for face in request.faces)
        if isinstance(request, ImportRequest):
            return any(person.identity_id == self.identity_id for person in request.people)
        if self.identity_id in _named(request):
            self._note_naming(record)
        return False

    def _is_of_stranger(self, request: StrangerRequest) -> bool:
        """Return whether the picture is of the person, and note the match from which it is."""
        if request.identity_id != self.identity_id and request.request_id not in self._seen_by:
            return False
        self.requests[Position(self._topics.requests, request.match_partition, request.match_offset)] = request.match_id
        self._named.add(request.match_id.encode())
        return True

    def _note_naming(self, record: Record) -> None:
        if not record.erased:
            self.naming.setdefault(record.topic, Found()).add(record)

    def _in_reply(self, record: Record) -> bool:
        try:
            answer = decode_reply(record.value or b"").answer
        except msgspec.DecodeError:
            return False
        if isinstance(answer, MatchAnswer) and any(face.identity_id == self.identity_id for face in answer.faces or ()):
            return True
        if isinstance(answer, PersonAnswer) and self.identity_id in {alike.identity_id for alike in answer.lookalikes}:
            self._note_naming(record)
        return isinstance(answer, MatchAnswer | PersonAnswer) and answer.identity_id == self.identity_id

    def _in_evidence(self, record: Record) -> bool:
        try:
            evidence = decode_evidence(record.value or b"")
        except msgspec.DecodeError:
            return False
        named = [candidate for candidate in evidence.candidates if candidate.identity_id == self.identity_id]
        nearest = evidence.candidates[:1] == tuple(named[:1]) and bool(named)
        if (nearest and named[0].cosine >= evidence.threshold) or (record.key in self._named):
            return True
        if named:
            self._note_naming(record)
        return False

    def _in_dead_letter(self, record: Record) -> bool:
        try:
            letter = decode_dead_letter(record.value or b"")
        except msgspec.DecodeError:
            return False
        if not isinstance(letter, DeadLetter):
            return False
        place = Position(letter.topic, letter.partition, letter.offset)
        if letter.topic == self._topics.events:  # a sink could not pass the event on
            if self._is_named_in_event(letter.value):
                self._note_naming(record)
            return False
        return place in self.requests or self._is_enrolment(record, letter.value)

    def _in_people(self, record: Record) -> bool:
        self.version = max(self.version, record.offset + 1)
        try:
            key = parse_key(record.key or b"")
        except NotReadable:
            return False
        if person_of(key) != self.identity_id:
            return False
        if isinstance(key, PersonKey):
            self.enrolled = record.value is not None
        return record.value is not None

    def _in_photos(self, record: Record) -> bool:
        name, _, number = (record.key or b"").decode(errors="replace").rpartition("/")
        return record.value is not None and name == f"photo/{self.identity_id}" and number.isdigit()

    def _in_audit(self, record: Record) -> bool:
        try:
            change = decode_audit(record.value or b"")
        except msgspec.DecodeError:
            return False
        return isinstance(change, ChangeRecord) and self.identity_id in _people_of(change)


def _named(request: Request) -> tuple[str, ...]:
    """Return the people whom a request without a picture of them names."""
    match request:
        case DeleteRequest():
            return (request.identity_id,)
        case MembersRequest():
            return request.identity_ids
        case ReembedRequest():
            return tuple(face.identity_id for face in request.faces)
    return ()


def _people_of(change: ChangeRecord) -> tuple[str, ...]:
    """Return the people whom an audit record names."""
    if change.kind == _MEMBERS:
        return change.objects[1:]
    if change.kind == REPAIR_KIND:
        return tuple(who for who in map(_person_of, change.objects) if who is not None)
    return change.objects if change.kind in _ABOUT_A_PERSON else ()


def _person_of(key: str) -> str | None:
    try:
        return person_of(parse_key(key.encode()))
    except NotReadable:
        return None


_MEMBERS = kind_of(MembersRequest)
_ABOUT_A_PERSON = frozenset(
    {ERASE_KIND}
    | {kind_of(kind) for kind in (EnrolRequest, DeleteRequest, StrangerRequest, ReembedRequest, ImportRequest)}
)

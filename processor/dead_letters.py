"""Reads dead letters, and builds the request that sends a dead letter again. Pure.

The topic of dead letters contains letters and marks. A mark is written together with the request that sends a letter
again, so a reader of the topic knows which letters were retried, and by which requests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from broker.port import NewRecord, Position, Record
from contract.audit import LOG_OPERATOR
from contract.codec import encode
from contract.dead_letters import SINK_STAGE, DeadLetter, RetryMark, decode_dead_letter
from contract.requests import Headers, decode_request
from contract.topics import Topics
from processor.envelope import envelope_of

_NOT_SENT_AGAIN = frozenset(value for name, value in vars(Headers).items() if name.isupper())
"""The headers that a retry does not copy, because a retry has its own id, no caller waits for its reply, and it needs
no gallery version. Headers that PictureMatch does not define are copied. The actor is copied for an administrative
request, whose record an ingress wrote; in another record nobody has checked the header."""


@dataclass(frozen=True, slots=True)
class LetterSummary:
    """A dead letter without the content of its record.

    Attributes:
        place: the position of the letter.
        written_ms: the time when the letter was written, epoch milliseconds.
        request_id: the id of the failed request and of its event.
        original: the position of the failed record.
        stage, code, error: the stage in which the record failed, the error code, and the error in words.
        attempt: the number of the failed attempt; 1 is the first.
        size_bytes: the size of the failed record's value.
        retry_of: the id of the request that the failed one sent again; None: the failed request was no retry.
        retried_as: the ids of the requests that sent the letter again.
    """

    place: Position
    written_ms: int
    request_id: str
    original: Position
    stage: str
    code: int
    error: str
    attempt: int
    size_bytes: int
    retry_of: str | None = None
    retried_as: tuple[str, ...] = ()

    @property
    def of_sink(self) -> bool:
        """Whether a sink could not pass the record on; such a letter contains no request."""
        return self.stage.startswith(SINK_STAGE)


@dataclass(slots=True)
class Register:
    """The letters of a topic, folded from its records in the order of each partition.

    `unreadable` is the number of records that are neither letter nor mark.
    """

    unreadable: int = 0
    _letters: dict[Position, LetterSummary] = field(default_factory=dict)

    def take(self, records: Iterable[Record]) -> None:
        """Fold the next records of the topic; erased letters are left out."""
        for record in records:
            if record.erased:
                continue
            message = _read(record)
            if isinstance(message, DeadLetter):
                self._letters[record.position] = _summary(record, message)
            elif message is not None:
                self._mark(Position(record.topic, message.partition, message.offset), message.request_id)
            else:
                self.unreadable += 1

    def letters(self) -> Sequence[LetterSummary]:
        """Return all letters, oldest first."""
        return sorted(self._letters.values(), key=lambda letter: (letter.written_ms, letter.place))

    def letter(self, place: Position) -> LetterSummary | None:
        """Return the letter at the position; None: there is none."""
        return self._letters.get(place)

    def _mark(self, place: Position, request_id: str) -> None:
        letter = self._letters.get(place)
        if letter is not None:
            self._letters[place] = replace(letter, retried_as=(*letter.retried_as, request_id))


def retry(record: Record, request_id: str, topics: Topics) -> tuple[NewRecord, NewRecord]:
    """Return the request that sends the letter in `record` again as `request_id`, and the mark that records it.

    The request has the letter's key, and its attempt is one more. An unreadable original record is sent unchanged. An
    administrative request keeps its actor, so that its audit record names the caller who asked for the change.

    Raises:
        ValueError: the record is no letter.
    """
    letter = _read(record)
    if not isinstance(letter, DeadLetter):
        raise ValueError("the record is no dead letter")
    administrative = letter.topic == topics.admin
    not_sent_again = _NOT_SENT_AGAIN - {Headers.ACTOR} if administrative else _NOT_SENT_AGAIN
    headers = (
        *((name, value) for name, value in letter.headers if name not in not_sent_again),
        (Headers.REQUEST_ID, request_id.encode()),
        (Headers.RETRY_OF, envelope_of(_original(letter), topics.replies).request_id.encode()),
        (Headers.RETRIED_BY, LOG_OPERATOR.encode()),
        (Headers.ATTEMPT, str(letter.attempt + 1).encode()),
    )
    topic = topics.of_requests(administrative=administrative)
    mark = RetryMark(partition=record.partition, offset=record.offset, request_id=request_id)
    return (
        NewRecord(topic, letter.key, _renamed(letter.value, request_id), headers),
        NewRecord(topics.dead_letters, record.key, encode(mark), partition=record.partition),
    )


def _read(record: Record) -> DeadLetter | RetryMark | None:
    try:
        return decode_dead_letter(record.value or b"")
    except msgspec.DecodeError:
        return None


def _renamed(value: bytes | None, request_id: str) -> bytes | None:
    try:
        request = decode_request(value or b"")
    except msgspec.DecodeError:
        return value
    return encode(msgspec.structs.replace(request, request_id=request_id))


def _summary(record: Record, letter: DeadLetter) -> LetterSummary:
    envelope = envelope_of(_original(letter), replies_topic="")
    return LetterSummary(
        place=record.position,
        written_ms=record.timestamp_ms,
        request_id=_event_id(letter) or envelope.request_id,
        original=Position(letter.topic, letter.partition, letter.offset),
        stage=letter.stage,
        code=letter.code,
        error=letter.error,
        attempt=letter.attempt,
        size_bytes=len(letter.value or b""),
        retry_of=envelope.retry_of,
    )


def _event_id(letter: DeadLetter) -> str:
    """Return the id of the event in a letter of a sink; "": the letter contains no event."""
    named = next((value for name, value in letter.headers if name == "ce_id"), b"")
    return named.decode("utf-8", "replace")


def _original(letter: DeadLetter) -> Record:
    return Record(
        letter.topic, letter.partition, letter.offset, letter.timestamp_ms, letter.key, letter.value, letter.headers
    )

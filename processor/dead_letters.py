"""Dead letters read back: what stands in their topic, and the request that sends one of them again. Pure.

The topic holds letters and marks. A mark is written together with the request that sends a letter again, so whoever
reads the topic knows which letters were retried, and as which requests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from broker.port import NewRecord, Position, Record
from contract.messages import DeadLetter, Headers, RetryMark, decode_dead_letter, decode_request, encode
from contract.topics import Topics
from processor.envelope import envelope_of

_NOT_SENT_AGAIN = frozenset(value for name, value in vars(Headers).items() if name.isupper())
"""A retry has its own id, nobody waits for it, and it may search any gallery; headers of others travel on."""


@dataclass(frozen=True, slots=True)
class LetterSummary:
    """A dead letter without what it holds. `place` is the letter's, `original` the record's that failed.

    `request_id` is the id of the event that the record got; `retried_as` are the requests that sent it again.
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


@dataclass(slots=True)
class Register:
    """The letters of a topic, folded from its records in the order of each partition.

    `unreadable` counts records that are neither letter nor mark.
    """

    unreadable: int = 0
    _letters: dict[Position, LetterSummary] = field(default_factory=dict)

    def take(self, records: Iterable[Record]) -> None:
        """Fold the records that follow."""
        for record in records:
            message = _read(record)
            if isinstance(message, DeadLetter):
                self._letters[record.position] = _summary(record, message)
            elif message is not None:
                self._mark(Position(record.topic, message.partition, message.offset), message.request_id)
            else:
                self.unreadable += 1

    def letters(self) -> Sequence[LetterSummary]:
        """All letters, oldest first."""
        return sorted(self._letters.values(), key=lambda letter: (letter.written_ms, letter.place))

    def letter(self, place: Position) -> LetterSummary | None:
        """The letter at that place."""
        return self._letters.get(place)

    def _mark(self, place: Position, request_id: str) -> None:
        letter = self._letters.get(place)
        if letter is not None:
            self._letters[place] = replace(letter, retried_as=(*letter.retried_as, request_id))


def retry(record: Record, request_id: str, topics: Topics) -> tuple[NewRecord, NewRecord]:
    """The request that sends the letter in `record` again as `request_id`, and the mark that says so.

    The request has the letter's key and counts one attempt more. A record that cannot be read is sent as it was.

    Raises:
        ValueError: the record is no letter.
    """
    letter = _read(record)
    if not isinstance(letter, DeadLetter):
        raise ValueError("the record is no dead letter")
    headers = (
        *((name, value) for name, value in letter.headers if name not in _NOT_SENT_AGAIN),
        (Headers.REQUEST_ID, request_id.encode()),
        (Headers.RETRY_OF, envelope_of(_original(letter), topics.replies).request_id.encode()),
        (Headers.ATTEMPT, str(letter.attempt + 1).encode()),
    )
    topic = topics.of_requests(administrative=letter.topic == topics.admin)
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
        request_id=envelope.request_id,
        original=Position(letter.topic, letter.partition, letter.offset),
        stage=letter.stage,
        code=letter.code,
        error=letter.error,
        attempt=letter.attempt,
        size_bytes=len(letter.value or b""),
        retry_of=envelope.retry_of,
    )


def _original(letter: DeadLetter) -> Record:
    return Record(
        letter.topic, letter.partition, letter.offset, letter.timestamp_ms, letter.key, letter.value, letter.headers
    )

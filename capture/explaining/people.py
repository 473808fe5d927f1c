"""Folds the people of then from the log, or finds why they are gone."""

from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from broker.ordered import read_merged
from broker.port import Broker, Position, Record, Start
from capture.explaining.finding import FoundEvent
from capture.explaining.gallery import PeopleThen
from capture.explaining.left import Kept, moment
from capture.explaining.values import Before, Gone
from capture.explaining.written import count_written
from contract.people.history import History
from contract.people.records import PersonRecord, info_of
from contract.requests import EnrolRequest

_BATCH = 1000
_MOST_OF_A_CHANGE = 4096
"""More records than one enrolment writes: a face, new permissions, a person, and deletions of faces."""
_READING_MS = 60_000
"""Longer than reading the topic takes; meanwhile records become older, and compaction goes on."""


@dataclass(frozen=True, slots=True)
class EmbedderThen:
    """The embedder of then and the length of its vectors; 0 and "": it is not known, and nobody has a face."""

    identity: str = ""
    dimension: int = 0


async def left_people(
    log: Broker, topic: str, found: FoundEvent, kept: Kept, embedder: EmbedderThen
) -> PeopleThen | Gone:
    """Return the people at the gallery version of an event, or why they are gone.

    Raises:
        BrokerError: the log cannot be read.
    """
    folded = await _folded(log, topic, found, kept, embedder, held=0)
    return folded.gone(found.event.gallery_version, topic, kept) or folded.people


async def left_before(
    log: Broker, topic: str, found: FoundEvent, request: EnrolRequest, kept: Kept, embedder: EmbedderThen
) -> Before | Gone:
    """Return the people before the records of an enrolment, and these records; or why they are gone.

    Raises:
        BrokerError: the log cannot be read.
    """
    folded = await _folded(log, topic, found, kept, embedder, held=_MOST_OF_A_CHANGE)
    held, people = list(folded.held), folded.people
    count = count_written(held, found.event, request)
    before, written = held[: len(held) - count], held[len(held) - count :]
    people.take(before)
    version = found.event.gallery_version
    gone = folded.gone(version, topic, kept) or folded.gone(written[0].offset if written else version, topic, kept)
    if gone is not None:
        return gone
    if people.unreadable:
        return Gone("gallery", "The people of then are gone: a record about them cannot be read any more.")
    records = tuple((record.key or b"", record.value) for record in written)
    person = people.person(request.identity_id)
    whole = await whole_person(log, topic, request.identity_id, people)
    return Before(people, None if whole is None else whole.info, person is not None and whole is None, records)


@dataclass(frozen=True, slots=True, eq=False)
class _Folded:
    """The people, and the last records before the version that are not applied to them yet."""

    people: PeopleThen
    held: Sequence[Record]
    history: History
    end: int
    decided_ms: int

    def gone(self, version: int, topic: str, kept: Kept) -> Gone | None:
        """Return why the people of a version are gone; None: they are there."""
        first = self.history.foldable_from(self.end, self.decided_ms)
        if version > self.end:
            words = f"The people of then are gone: the topic {topic} ends at version {self.end}, so it was made anew."
            return Gone("gallery", words)
        return _gone(version, first, self.history, kept) if version < first else None


async def _folded(
    log: Broker, topic: str, found: FoundEvent, kept: Kept, embedder: EmbedderThen, *, held: int
) -> _Folded:
    """Fold the people up to the gallery version of an event, except the last `held` records."""
    people, waiting = PeopleThen(embedder.dimension, embedder.identity), deque[Record]()
    history = History(kept.history_ms, int(kept.now_s * 1000) + min(_READING_MS, kept.history_ms // 10))
    version, end = found.event.gallery_version, (await log.end_offsets(topic)).get(0, 0)
    async with aclosing(read_merged(log, topic, Start.EARLIEST, {0: end}, batch=_BATCH)) as batches:
        async for records in batches:
            history.take(records)
            waiting.extend(record for record in records if record.offset < version)
            people.take([waiting.popleft() for _ in range(len(waiting) - held)])
    return _Folded(people, waiting, history, end, int(found.event.processed_time * 1000))


def _gone(version: int, first: int, history: History, kept: Kept) -> Gone:
    """Return why the people of a version cannot be folded; they can be from version `first` on."""
    begin = f"The people of version {version} are gone; they are known from version {first} on"
    if history.erased_ms is not None and version < history.behind_erased:
        erased_s = history.erased_ms / 1000
        return Gone("gallery", f"{begin}: records of a person were erased after {moment(erased_s)}.", erased_s)
    since_s = None if history.spoilt_ms is None else (history.spoilt_ms + kept.history_ms) / 1000
    words = f"{begin}: compaction removes replaced records (the setting log.people_history_ms)."
    return Gone("gallery", words, since_s)


async def whole_person(log: Broker, topic: str, identity_id: str, people: PeopleThen) -> PersonRecord | None:
    """Return the whole record of a person; None: nobody has that id, or the record is gone.

    Raises:
        BrokerError: the log cannot be read.
    """
    person = people.person(identity_id)
    if person is None or person.stored_at is None:
        return person
    record = await log.read_at(Position(topic, 0, person.stored_at))
    info = None if record is None or record.value is None else info_of(record.value)
    return None if info is None else person.whole(info)

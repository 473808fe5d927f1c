"""Folds the people of then from the log, or finds why they are gone."""

from contextlib import aclosing
from dataclasses import dataclass

from broker.ordered import read_merged
from broker.port import Broker, Position, Start
from capture.explaining.finding import FoundEvent
from capture.explaining.gallery import PeopleThen
from capture.explaining.left import Kept, moment
from capture.explaining.values import Gone
from contract.events import Event
from contract.people.history import History
from contract.people.records import PersonRecord, info_of

_BATCH = 1000
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
    people = PeopleThen(embedder.dimension, embedder.identity)
    history = History(kept.history_ms, int(kept.now_s * 1000) + min(_READING_MS, kept.history_ms // 10))
    version, end = found.event.gallery_version, (await log.end_offsets(topic)).get(0, 0)
    async with aclosing(read_merged(log, topic, Start.EARLIEST, {0: end}, batch=_BATCH)) as batches:
        async for records in batches:
            history.take(records)
            people.take(record for record in records if record.offset < version)
    first = history.foldable_from(end, int(found.event.processed_time * 1000))
    if version > end:
        words = f"The people of then are gone: the topic {topic} ends at version {end}, so it was made anew."
        return Gone("gallery", words)
    if version < first:
        return _gone(version, first, history, kept)
    return people


def _gone(version: int, first: int, history: History, kept: Kept) -> Gone:
    """Return why the people of a version cannot be folded; they can be from version `first` on."""
    begin = f"The people of version {version} are gone; they are known from version {first} on"
    if history.erased_ms is not None and version < history.behind_erased:
        erased_s = history.erased_ms / 1000
        return Gone("gallery", f"{begin}: records of a person were erased after {moment(erased_s)}.", erased_s)
    since_s = None if history.spoilt_ms is None else (history.spoilt_ms + kept.history_ms) / 1000
    words = f"{begin}: compaction removes replaced records (the setting log.people_history_ms)."
    return Gone("gallery", words, since_s)


async def whole_person(log: Broker, topic: str, event: Event, people: PeopleThen) -> PersonRecord | None:
    """Return the whole record of the person whom an event names; None: nobody is named, or the record is gone.

    Raises:
        BrokerError: the log cannot be read.
    """
    person = people.person(event.identity_id)
    if person is None or person.stored_at is None:
        return person
    record = await log.read_at(Position(topic, 0, person.stored_at))
    info = None if record is None or record.value is None else info_of(record.value)
    return None if info is None else person.whole(info)

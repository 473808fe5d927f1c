"""A store of events and an index of seen faces that have one event, that of the examples of the calls."""

from collections.abc import Sequence

from broker.port import Broker, NewRecord
from contract.codec import encode
from contract.event_store import EventCount, EventFilter, EventPage, Grouping, StoredEvent
from contract.requests import MatchRequest
from contract.seen_faces import InTime, Likeness, Nearest, SeenFace, SeenFilter
from contract.topics import Topics
from contract.vectors import Vector


class ScriptedStore:
    """A store that has one event, whose picture is in the log."""

    def __init__(self) -> None:
        self._event: StoredEvent | None = None

    async def put(self, log: Broker, picture: bytes, event_id: str) -> None:
        """Put the event into the store; a topic that nobody reads in these tests has its request."""
        request = MatchRequest(
            request_id=event_id, device_ip=None, picture=picture, compare_time_s=1.0, received_time_s=1.0
        )
        (place,) = await log.append([NewRecord(Topics().evidence, b"", encode(request))])
        self._event = StoredEvent(
            id=event_id,
            kind="match",
            outcome="matched",
            compare_time=1.0,
            received_time=1.0,
            request=(place.topic, place.partition, place.offset),
        )

    def page(self, wanted: EventFilter, skip: int, limit: int) -> EventPage:
        return EventPage([self._event] if self._event and not skip and limit else [], 1)

    def event(self, event_id: str) -> StoredEvent | None:
        return self._event if self._event and self._event.id == event_id else None

    def events(self, event_ids: Sequence[str]) -> dict[str, StoredEvent]:
        return {self._event.id: self._event} if self._event and self._event.id in event_ids else {}

    def counts(self, wanted: EventFilter, by: Sequence[Grouping]) -> Sequence[EventCount]:
        return [EventCount("2023-11-14", "", "", 1)]


class ScriptedSeen:
    """An index that has one face, that of the event in the store."""

    likeness = Likeness("e", 512, lambda _: 0.5, lambda _: 1e-6)

    def __init__(self, event_id: str) -> None:
        self._face = SeenFace(event_id, 0.9, 1.0, (0, 0))

    def complete(self) -> bool:
        return True

    def in_time(self, probe: Vector, wanted: SeenFilter, least: float, *, newest_first: bool) -> InTime:
        return InTime([self._face], 1, False, 1.0)

    def nearest(self, probe: Vector, wanted: SeenFilter, most: int) -> Nearest:
        return Nearest([self._face], 1)

    async def kept(self, found: Sequence[SeenFace]) -> Sequence[SeenFace]:
        return found

"""Reads what belongs to an event from the log: pictures, the photo of a person, and the whole info of a person.

Each function returns None where the log has no such value (any more): pictures are kept as long as requests, and a
person may have been deleted since.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from broker.keyed import KeyedReader
from broker.port import BrokerError, Position
from contract.event_pictures import EventPictures, pictures_in
from contract.events import Event
from contract.people.keys import person_key, photo_key
from contract.people.records import info_of, photo_of
from sinks.context import SinkContext


class Lookups:
    """Reads what belongs to events; errors of the log count as values that are not there."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._photos = KeyedReader(context.broker, context.topics.photos)
        self._people = KeyedReader(context.broker, context.topics.people)

    async def pictures(self, event: Event) -> EventPictures:
        """Return the pictures of an event, as far as the log still has them."""
        place = event.request
        try:
            record = await self._context.broker.read_at(Position(place.topic, place.partition, place.offset))
        except BrokerError:
            return EventPictures()
        if record is None or record.value is None or record.damaged:
            return EventPictures()
        return await asyncio.to_thread(pictures_in, record.value, event.id, place.sha256)

    async def face(self, event: Event, picture: bytes | None) -> bytes | None:
        """Return a JPEG of the event's face, cut out of its picture."""
        if picture is None or event.face is None:
            return None
        return await asyncio.to_thread(self._context.crop, picture, event.face)

    async def photo(self, identity_id: str) -> bytes | None:
        """Return the newest photo (JPEG) with which a person was enrolled."""
        person = self._context.people.person(identity_id) if identity_id else None
        if person is None:
            return None
        for number in sorted(person.faces, reverse=True):
            found = self._context.people.photo(identity_id, number)
            if found is None:
                continue
            key = photo_key(identity_id, number)
            try:
                return await self._photos.read(key, found.partition, found.offset, partial(photo_of, reference=found))
            except BrokerError:
                return None
        return None

    async def info(self, identity_id: str) -> Mapping[str, Any] | None:
        """Return the whole info of an enrolled person, as answers show it."""
        person = self._context.people.person(identity_id) if identity_id else None
        if person is None:
            return None
        info: Mapping[str, Any] = person.info
        if person.stored_at is not None:
            try:
                info = await self._people.read(person_key(identity_id), 0, person.stored_at, info_of) or info
            except BrokerError:
                return self._context.people.site.shown(info)
        return self._context.people.site.shown(info)

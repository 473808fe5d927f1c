"""A processor's access to the people: the fold of the people topic, the version up to which it is read, the photos.

No decision is made while a record of the people topic is unreadable: a match might miss the one person that it must
find, and an enrolment might overwrite a person that it does not know of. A request with a deadline is refused at once
with 50380, so that the device gets an answer. A request without a deadline is a dead letter that was sent again: a
match waits, because nobody would send it once more; a request about people becomes a dead letter again, because the
deletion of the unreadable person may follow it in the admin topic.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from broker.keyed import KeyedReader, value_at
from broker.port import Broker, BrokerUnavailable, Position
from contract.errors import Refusal
from contract.people.keys import person_key, photo_key
from contract.people.records import PersonRecord, info_of, photo_of
from engine.calls.people import PEOPLE_UNREADABLE
from engine.gallery.people import People
from processor.envelope import Envelope

Reached = Callable[[int, float], Awaitable[bool]]
"""A function (version, seconds) that waits at most so long until the people topic is read up to the version, and
returns whether it is."""

_READ_WAIT_S = 30.0
"""The longest wait for people records that are committed already and only have to be read."""


@dataclass(frozen=True, slots=True)
class PeopleAccess:
    """The people as one processor knows them. `people` is the fold; its owner reads the people topic into it."""

    broker: Broker
    topic: str
    photos: KeyedReader
    people: People
    reached: Reached

    async def end(self) -> int:
        """Return the gallery version that contains every record that is in the people topic now."""
        return (await self.broker.end_offsets(self.topic))[0]

    async def read_up_to(self, version: int) -> None:
        """Wait until the fold contains the records of gallery version `version`, which must be in the topic already.

        Raises:
            BrokerUnavailable: the records could not be read in time.
        """
        if not await self.reached(version, _READ_WAIT_S):
            raise BrokerUnavailable("the people topic could not be read in time")

    async def complete(self, envelope: Envelope) -> Refusal | None:
        """Return None if no record of the people topic is unreadable; else refuse or wait, by the request's deadline.

        With a deadline the refusal is returned at once; without one, None once the last unreadable record is replaced.
        """
        while self.people.unreadable:
            if envelope.deadline_s is not None:
                return PEOPLE_UNREADABLE
            await self.reached(self.people.version + 1, _READ_WAIT_S)
        return None

    async def info(self, person: PersonRecord) -> Mapping[str, Any] | None:
        """Return the whole info of a person as the fold has read it; None: its record is lost or damaged since.

        Raises:
            BrokerError: the log cannot be read now.
        """
        if person.stored_at is None:
            return person.info
        place = Position(self.topic, 0, person.stored_at)
        return await value_at(self.broker, place, person_key(person.identity_id), info_of)

    async def photo(self, identity_id: str, number: int) -> bytes | None:
        """Return the JPEG with which the face was enrolled; None: there is no photo, or it cannot be found or decoded.

        Raises:
            BrokerError: the log cannot be read.
        """
        found = self.people.photo(identity_id, number)
        if found is None:
            return None
        key = photo_key(identity_id, number)
        return await self.photos.read(key, found.partition, found.offset, partial(photo_of, reference=found))

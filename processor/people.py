"""What a processor asks of the people topic: the fold, how far it has been read, and the photos.

Nobody decides against people of whom a record cannot be read: a match might miss the one person it must find, and an
enrolment might write over a person it cannot see. A call that somebody waits for is refused at once with 50380, so that
the device hears it. Of the requests without a deadline (dead letters sent again) a match waits, since nobody would send
it again; a request about people becomes a dead letter once more, since the deletion of the very person may stand behind
it in the order of the admin topic.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from broker.keyed import KeyedReader
from broker.port import Broker, BrokerUnavailable
from contract.errors import Refusal
from contract.people.keys import photo_key
from contract.people.records import photo_of
from engine.calls.people import PEOPLE_UNREADABLE
from engine.gallery.people import People
from processor.envelope import Envelope

Reached = Callable[[int, float], Awaitable[bool]]
"""Wait until the people topic has been read up to a version, at most so many seconds; whether it was."""

_READ_WAIT_S = 30.0
"""How long a decision about a person waits for the records of the one before; they are committed, so it is a matter of
reading them."""


@dataclass(frozen=True, slots=True)
class PeopleAccess:
    """The people as one processor sees them. `people` is the fold that its owner keeps reading the topic into."""

    broker: Broker
    topic: str
    photos: KeyedReader
    people: People
    reached: Reached

    async def end(self) -> int:
        """The version above everything that is in the topic now."""
        return (await self.broker.end_offsets(self.topic))[0]

    async def read_up_to(self, version: int) -> None:
        """Wait until the fold has everything below `version`, which is in the topic.

        Raises:
            BrokerUnavailable: it could not be read in time.
        """
        if not await self.reached(version, _READ_WAIT_S):
            raise BrokerUnavailable("the people topic could not be read in time")

    async def complete(self, envelope: Envelope) -> Refusal | None:
        """None once every record can be read; the refusal of a request whose sender waits, as long as one cannot."""
        while self.people.unreadable:
            if envelope.deadline_s is not None:
                return PEOPLE_UNREADABLE
            await self.reached(self.people.version + 1, _READ_WAIT_S)
        return None

    async def photo(self, identity_id: str, number: int) -> bytes | None:
        """The JPEG that the face was enrolled with; None where there is none, or none that can be read.

        Raises:
            BrokerError: the log cannot be read.
        """
        found = self.people.photo(identity_id, number)
        if found is None:
            return None
        key = photo_key(identity_id, number)
        return await self.photos.read(key, found.partition, found.offset, partial(photo_of, reference=found))

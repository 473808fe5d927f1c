"""The interface of a kind of call: everything that is decided, answered and recorded about requests of that kind.

Each kind is one module of engine.calls. Queries are decided independently of each other, many at once. Changes of
people are decided one after the other, in the order of the admin topic; the slow part of a change is prepared earlier.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from contract.answers import Answer
from contract.errors import Refusal, Refused
from contract.events import Event
from contract.evidence import Evidence
from contract.people.records import PersonRecord
from contract.requests import StrangerRequest
from engine.calls.people import NOTHING_PREPARED, ChangeDecision, PeopleNow, Prepared, refuse_change
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.gallery.port import FaceId


class Decision(Protocol):
    """The attributes that the decisions of all kinds have."""

    @property
    def outcome(self) -> str:
        """The outcome: one of `Call.outcomes`."""
        ...

    @property
    def refusal(self) -> Refusal | None:
        """The refusal that is the answer; None where the answer is a success."""
        ...

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Milliseconds per stage."""
        ...


R = TypeVar("R")
D = TypeVar("D", bound=Decision)


class Call(ABC, Generic[R, D]):
    """One kind of call.

    `kind`: the name of the kind in events, metrics and dead letters. `event_type`: the CloudEvents type of its events.
    `outcomes`: all outcomes that its events can have.
    """

    kind: ClassVar[str]
    event_type: ClassVar[str]
    outcomes: ClassVar[tuple[str, ...]]
    request_type: ClassVar[type]

    @abstractmethod
    def refuse(self, request: R, refusal: Refusal, snapshot: Snapshot, context: Context) -> D:
        """Return the decision that answers a request with that refusal."""

    @abstractmethod
    def answer(self, request: R, decision: D, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded. `photo`: the requested photo as a JPEG, or None."""

    @abstractmethod
    def event(self, request: R, decision: D, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision."""

    def pictures(self, request: R) -> Sequence[bytes]:
        """Return the pictures whose sha256 the event contains, in the order of `Circumstances.digests`."""
        return ()

    def picture_results(self, decision: D) -> Sequence[str]:
        """Return for metrics what became of each picture of a request with several: "used", or why it was left out."""
        return ()

    def leaves_event(self, request: R) -> bool:
        """Return whether a decided request leaves an event; a request that becomes a dead letter always does."""
        return True


class Query(Call[R, D]):
    """A call whose requests are decided independently of each other.

    `searches`: the call searches the gallery, which must be at least at the gallery version that the sender knows.
    """

    searches: ClassVar[bool] = False

    @abstractmethod
    def decide(self, request: R, snapshot: Snapshot, context: Context) -> D:
        """Return the decision about one request; no request that a client can send raises an error."""

    def photos(self, request: R, decision: D, context: Context) -> Sequence[FaceId]:
        """Return the faces whose photo the answer may contain: it contains that of the first face that has a photo."""
        return ()

    def person(self, request: R, decision: D, context: Context) -> PersonRecord | None:
        """Return the person whose info the answer or the event contains; None: they contain nobody's."""
        return None

    def with_person(self, decision: D, person: PersonRecord) -> D:
        """Return the decision with the whole record of that person."""
        return decision

    def follow_up(
        self, request: R, decision: D, context: Context, partition: int, offset: int
    ) -> StrangerRequest | None:
        """Return the administrative request that follows from the decision, and is written with its event.

        None: none does. `partition` and `offset`: the place of the request in its topic.
        """
        return None

    def evidence(self, request: R, decision: D, context: Context, at: Circumstances) -> Evidence | None:
        """Return the evidence of the decision; None where the call keeps none."""
        return None


class Change(Call[R, ChangeDecision]):
    """A call that changes people."""

    def takes_long(self, request: R) -> bool:
        """Return whether the request needs to be prepared, which takes a thread of the pool."""
        return False

    def prepare(self, request: R, context: Context) -> Prepared:
        """Return the results of the slow part, which does not depend on other requests and runs for many at once."""
        return NOTHING_PREPARED

    def whole_people(self, request: R) -> Sequence[str]:
        """Return the identity_ids of the people whose whole info the decision needs."""
        return ()

    @abstractmethod
    def change(self, request: R, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Return the decision about one request, based on the people after all earlier decisions.

        Raises:
            Refused: the request is refused and changes nothing.
        """

    def decide(self, request: R, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Return the decision about one request; no request that a client can send raises an error."""
        if prepared.refusal is not None:
            return refuse_change(prepared.refusal, prepared)
        try:
            return self.change(request, prepared, people, context)
        except Refused as refused:
            return refuse_change(refused.refusal, prepared)

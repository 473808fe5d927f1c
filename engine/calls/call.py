"""What a kind of call is: the whole of what is decided, answered and recorded about its requests.

Each kind is one module of this room. A query is decided by itself, for many requests at once; a change of the people is
decided in the order of the admin topic, and what is slow about it is prepared before its turn.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from contract.errors import Refusal, Refused
from contract.events import Event
from contract.evidence import Evidence
from contract.messages import Answer
from engine.calls.people import NOTHING_PREPARED, PeopleNow, PersonDecision, Prepared, refuse_change
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.port import FaceId, Gallery


class Decision(Protocol):
    """What every decision has: its outcome, the refusal where the answer is an error, and milliseconds per stage."""

    @property
    def outcome(self) -> str:
        """One of the call's outcomes."""
        ...

    @property
    def refusal(self) -> Refusal | None:
        """The error that is answered."""
        ...

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Milliseconds per stage."""
        ...


R = TypeVar("R")
D = TypeVar("D", bound=Decision)


class Call(ABC, Generic[R, D]):
    """One kind of call. `kind` names it in events, metrics and dead letters; `event_type` is its events' CloudEvents
    type; `outcomes` are those that its events can have."""

    kind: ClassVar[str]
    event_type: ClassVar[str]
    outcomes: ClassVar[tuple[str, ...]]
    request_type: ClassVar[type]

    @abstractmethod
    def refuse(self, request: R, refusal: Refusal, gallery: Gallery, context: Context) -> D:
        """The decision about a request whose answer is that error."""

    @abstractmethod
    def answer(self, request: R, decision: D, context: Context, photo: bytes | None) -> Answer:
        """The success that the caller gets. `photo`: the enrolled JPEG that was asked for, if there is one."""

    @abstractmethod
    def event(self, request: R, decision: D, context: Context, at: Circumstances) -> Event:
        """What happened, for everybody else."""

    def pictures(self, request: R) -> Sequence[bytes]:
        """The pictures whose sha256 the event gives, in the order of `Circumstances.digests`."""
        return ()

    def leaves_event(self, request: R) -> bool:
        """Whether an event is written although nothing went wrong."""
        return True


class Query(Call[R, D]):
    """A call that is decided by itself. `searches`: it needs the people that its sender has seen enrolled."""

    searches: ClassVar[bool] = False

    @abstractmethod
    def decide(self, request: R, gallery: Gallery, context: Context) -> D:
        """Decide one request; whatever a caller can send ends in a decision."""

    def photos(self, request: R, decision: D, context: Context) -> Sequence[FaceId]:
        """The faces whose enrolled photo the answer shows; the first that has one is taken."""
        return ()

    def evidence(self, request: R, decision: D, context: Context, at: Circumstances) -> Evidence | None:
        """Why it was decided so, where that is kept."""
        return None


class Change(Call[R, PersonDecision]):
    """A call that changes people."""

    def takes_long(self, request: R) -> bool:
        """Whether there is anything to prepare, which then takes a thread."""
        return False

    def prepare(self, request: R, context: Context) -> Prepared:
        """What needs no order, and may take long: it runs for many requests at once."""
        return NOTHING_PREPARED

    @abstractmethod
    def change(self, request: R, prepared: Prepared, people: PeopleNow, context: Context) -> PersonDecision:
        """Decide one request against the people as every decision before left them.

        Raises:
            Refused: nothing is changed.
        """

    def decide(self, request: R, prepared: Prepared, people: PeopleNow, context: Context) -> PersonDecision:
        """Decide one request; whatever a caller can send ends in a decision."""
        if prepared.refusal is not None:
            return refuse_change(prepared.refusal, prepared)
        try:
            return self.change(request, prepared, people, context)
        except Refused as refused:
            return refuse_change(refused.refusal, prepared)

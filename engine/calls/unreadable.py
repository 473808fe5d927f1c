"""The call of a record that contains no request, or of a request whose event could not be written.

The waiting client is answered with an error, and an event records that.
"""

from dataclasses import dataclass, field

from contract.answers import Answer
from contract.errors import Code, Refusal
from contract.events import Event
from contract.kinds import UNREADABLE_KIND
from engine.calls.call import Query
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot

_REFUSAL = Refusal(Code.INTERNAL_ERROR, "the request could not be read back from the log; send it again")


@dataclass(frozen=True, slots=True)
class UnreadableRequest:
    """The known values of an unreadable record: the request id in its headers, and its time (epoch seconds)."""

    request_id: str
    received_time_s: float


@dataclass(frozen=True, slots=True)
class UnreadableDecision:
    """The decision about an unreadable record, which is always the same error."""

    outcome: str = "error"
    refusal: Refusal = _REFUSAL
    timings_ms: dict[str, float] = field(default_factory=dict)


UNREADABLE_DECISION = UnreadableDecision()


class UnreadableCall(Query[UnreadableRequest, UnreadableDecision]):
    """The kind of call that answers unreadable records with an error."""

    kind = UNREADABLE_KIND
    event_type = "picturematch.unreadable.v1"
    outcomes = ("error",)
    request_type = UnreadableRequest

    def decide(self, request: UnreadableRequest, snapshot: Snapshot, context: Context) -> UnreadableDecision:
        """Return the error."""
        return UNREADABLE_DECISION

    def refuse(
        self, request: UnreadableRequest, refusal: Refusal, snapshot: Snapshot, context: Context
    ) -> UnreadableDecision:
        """Return the error; the given refusal is ignored, because the request is unknown."""
        return UNREADABLE_DECISION

    def answer(
        self, request: UnreadableRequest, decision: UnreadableDecision, context: Context, photo: bytes | None
    ) -> Answer:
        """Raise an error, because no unreadable record succeeds.

        Raises:
            ValueError: always.
        """
        raise ValueError("an unreadable request is answered with an error")

    def event(
        self, request: UnreadableRequest, decision: UnreadableDecision, context: Context, at: Circumstances
    ) -> Event:
        """Return the event that records the decision."""
        return at.event(self.kind, request, decision.outcome, decision.refusal)

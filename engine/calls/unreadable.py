"""A record that is no request, or whose event could not be made: it is answered with an error and leaves an event."""

from dataclasses import dataclass, field

from contract.errors import Code, Refusal
from contract.events import Event
from contract.kinds import UNREADABLE_KIND
from contract.messages import Answer
from engine.calls.call import Query
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.port import Gallery

_REFUSAL = Refusal(Code.INTERNAL_ERROR, "the request could not be read back from the log; send it again")


@dataclass(frozen=True, slots=True)
class UnreadableRequest:
    """What is known of such a record: the id in its headers, and when it was written (epoch seconds)."""

    request_id: str
    received_time_s: float


@dataclass(frozen=True, slots=True)
class UnreadableDecision:
    """Always the same error."""

    outcome: str = "error"
    refusal: Refusal = _REFUSAL
    timings_ms: dict[str, float] = field(default_factory=dict)


UNREADABLE_DECISION = UnreadableDecision()


class UnreadableCall(Query[UnreadableRequest, UnreadableDecision]):
    """The call of a record that is no request."""

    kind = UNREADABLE_KIND
    event_type = "picturematch.unreadable.v1"
    outcomes = ("error",)
    request_type = UnreadableRequest

    def decide(self, request: UnreadableRequest, gallery: Gallery, context: Context) -> UnreadableDecision:
        """The error."""
        return UNREADABLE_DECISION

    def refuse(
        self, request: UnreadableRequest, refusal: Refusal, gallery: Gallery, context: Context
    ) -> UnreadableDecision:
        """The error; no other is more true."""
        return UNREADABLE_DECISION

    def answer(
        self, request: UnreadableRequest, decision: UnreadableDecision, context: Context, photo: bytes | None
    ) -> Answer:
        """There is no success.

        Raises:
            ValueError: always.
        """
        raise ValueError("an unreadable request is answered with an error")

    def event(
        self, request: UnreadableRequest, decision: UnreadableDecision, context: Context, at: Circumstances
    ) -> Event:
        """What happened, for everybody else."""
        return at.event(self.kind, request, decision.outcome, decision.refusal)

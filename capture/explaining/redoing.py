"""Which events besides matches are decided again, and by which call. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from capture.explaining.comparisons import Comparison, Measurement
from capture.explaining.differing import Compared
from capture.explaining.enrolments import Enrolment
from capture.explaining.trials import Trial
from capture.explaining.values import OtherThen, RedoneRequest, Way
from contract.events import Event
from contract.kinds import kind_of
from contract.requests import CompareRequest, DetectRequest, EnrolRequest, FiqaRequest
from engine.calls.call import Decision
from engine.context import Context
from engine.look import Findings

REDONE: Mapping[str, type[RedoneRequest]] = {
    kind_of(request_type): request_type for request_type in (CompareRequest, FiqaRequest, DetectRequest, EnrolRequest)
}
"""The kinds of event that are decided again, each with the type of its request."""


class Redone(Protocol):
    """A decision that was made again by the call that made it then."""

    @property
    def way(self) -> Way:
        """How it was made again."""
        ...

    @property
    def decision(self) -> Decision:
        """The decision now."""
        ...

    @property
    def findings(self) -> Findings | None:
        """What was found about the face that was used; None: the decision does not tell."""
        ...

    def compared(self, event: Event) -> Compared:
        """Compare with what was recorded."""
        ...

    def trials(self) -> Iterator[Sequence[Trial]]:
        """Yield the single changes that may lead to another outcome."""
        ...


def redone(then: OtherThen) -> Redone | None:
    """Return the decision that was made again; None: its request, its people, its policy or its networks are gone."""
    models, policy, before = then.models, then.policy, then.before
    if models is None or policy is None or dict(models.identities) != then.event.models:
        return None
    context = Context(models, policy, then.max_pixels, lambda: 0.0)
    match then.request:
        case CompareRequest() as request:
            return Comparison(request, context)
        case FiqaRequest() | DetectRequest() as request:
            return Measurement(request, context)
        case EnrolRequest() as request if before is not None and not before.info_lost:
            return Enrolment(request, context, before)
        case _:
            return None

"""The topics of the system, by role, and how a record's key is made from what it is about."""

from dataclasses import dataclass
from typing import Self

from contract.messages import DeleteRequest, EnrolRequest, MatchRequest, Request


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics, and of the group that the processors form. `members` is on Kafka only."""

    requests: str = "picturematch.requests"
    replies: str = "picturematch.replies"
    events: str = "picturematch.events"
    people: str = "picturematch.people"
    dead_letters: str = "picturematch.dead-letters"
    members: str = "picturematch.members"
    processors: str = "picturematch-processor"

    @classmethod
    def of(cls, prefix: str) -> Self:
        """The names of one installation among several on the same brokers."""
        return cls(
            requests=f"{prefix}.requests",
            replies=f"{prefix}.replies",
            events=f"{prefix}.events",
            people=f"{prefix}.people",
            dead_letters=f"{prefix}.dead-letters",
            members=f"{prefix}.members",
            processors=f"{prefix}-processor",
        )


def request_key(request: Request) -> bytes:
    """Key of a request and of its event: the device (else the group) of a match, the person of an enrolment, else the
    request's own id.

    Requests about one person share a key, so they are decided one after the other.
    """
    if isinstance(request, MatchRequest):
        return (request.device_ip or request.group_name or "").encode()
    if isinstance(request, EnrolRequest | DeleteRequest):
        return request.identity_id.encode()
    return request.request_id.encode()

"""The topics of the system, by role, and the consumer groups."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics, and of the groups that processors form: `processors` consumes `requests`, `admins`
    consumes `admin`. The topic `members` is on Kafka only."""

    requests: str = "picturematch.requests"
    admin: str = "picturematch.admin"
    replies: str = "picturematch.replies"
    events: str = "picturematch.events"
    people: str = "picturematch.people"
    photos: str = "picturematch.photos"
    evidence: str = "picturematch.evidence"
    configs: str = "picturematch.configs"
    dead_letters: str = "picturematch.dead-letters"
    members: str = "picturematch.members"
    processors: str = "picturematch-processor"
    admins: str = "picturematch-admin"

    def of_requests(self, *, administrative: bool) -> str:
        """The topic of requests of that kind."""
        return self.admin if administrative else self.requests

    @classmethod
    def of(cls, prefix: str) -> Self:
        """The names of one installation among several on the same brokers."""
        return cls(
            requests=f"{prefix}.requests",
            admin=f"{prefix}.admin",
            replies=f"{prefix}.replies",
            events=f"{prefix}.events",
            people=f"{prefix}.people",
            photos=f"{prefix}.photos",
            evidence=f"{prefix}.evidence",
            configs=f"{prefix}.configs",
            dead_letters=f"{prefix}.dead-letters",
            members=f"{prefix}.members",
            processors=f"{prefix}-processor",
            admins=f"{prefix}-admin",
        )

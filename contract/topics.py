"""The names of the topics and of the consumer groups."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics and of the two consumer groups of the processors.

    The group `processors` consumes the topic `requests`, the group `admins` the topic `admin`. The topic `members`
    exists on Kafka only.
    """

    requests: str = "picturematch.requests"
    admin: str = "picturematch.admin"
    replies: str = "picturematch.replies"
    events: str = "picturematch.events"
    people: str = "picturematch.people"
    photos: str = "picturematch.photos"
    evidence: str = "picturematch.evidence"
    configs: str = "picturematch.configs"
    audit: str = "picturematch.audit"
    dead_letters: str = "picturematch.dead-letters"
    members: str = "picturematch.members"
    processors: str = "picturematch-processor"
    admins: str = "picturematch-admin"

    def of_requests(self, *, administrative: bool) -> str:
        """Return the topic to which administrative requests, or all other requests, are written."""
        return self.admin if administrative else self.requests

    @classmethod
    def of(cls, prefix: str) -> Self:
        """Return names that begin with `prefix`, for an installation that shares its brokers with others."""
        return cls(
            requests=f"{prefix}.requests",
            admin=f"{prefix}.admin",
            replies=f"{prefix}.replies",
            events=f"{prefix}.events",
            people=f"{prefix}.people",
            photos=f"{prefix}.photos",
            evidence=f"{prefix}.evidence",
            configs=f"{prefix}.configs",
            audit=f"{prefix}.audit",
            dead_letters=f"{prefix}.dead-letters",
            members=f"{prefix}.members",
            processors=f"{prefix}-processor",
            admins=f"{prefix}-admin",
        )

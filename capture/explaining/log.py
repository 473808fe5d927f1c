"""Collects what the log has left of a decision."""

from dataclasses import dataclass

from broker.port import Broker
from capture.differences import is_undecided
from capture.explaining.finding import FoundEvent
from capture.explaining.gallery import PeopleThen
from capture.explaining.left import Kept, left_evidence, left_policy, left_request
from capture.explaining.people import EmbedderThen, left_before, left_people, whole_person
from capture.explaining.redoing import REDONE
from capture.explaining.requests import request_of_event
from capture.explaining.values import Before, Gone, OtherThen, Then
from contract.captures.convert import decision_of
from contract.events import Event
from contract.evidence import Evidence
from contract.requests import EnrolRequest, MatchRequest
from contract.topics import Topics
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """The installed networks, None where they cannot be opened, for `reason`; and the most pixels of a picture."""

    models: ModelSet | None
    reason: str
    max_pixels: int

    def gone(self, models: dict[str, str]) -> Gone | None:
        """Return why no picture can be looked at again; None: the installed networks are those of then, `models`."""
        if self.models is None:
            return Gone("networks", f"The picture cannot be looked at again: {self.reason}.")
        installed = dict(self.models.identities)
        others = sorted(role for role in installed | models if installed.get(role) != models.get(role))
        if not others:
            return None
        words = f"The picture cannot be looked at again: other networks are installed than then ({', '.join(others)})."
        return Gone("networks", words)

    def embedder_then(self, identity: str, embedding: bytes | None) -> EmbedderThen:
        """Return the embedder of then, whose identity and half-precision embedding are given."""
        if self.models is not None and self.models.embedder_identity == identity:
            return EmbedderThen(identity, self.models.embedder.dimension)
        return EmbedderThen(identity, len(embedding) // 2) if embedding else EmbedderThen()


async def then_of(log: Broker, topics: Topics, found: FoundEvent, kept: Kept, engine: Engine) -> Then:
    """Return what the log has left of a match.

    Raises:
        BrokerError: the log cannot be read.
    """
    event = found.event
    left = await left_request(log, found, kept, MatchRequest)
    evidence = await left_evidence(log, topics.evidence, found, kept)
    policy = await left_policy(log, topics.configs, event.policy)
    kept_evidence = evidence if isinstance(evidence, Evidence) else None
    embedding = None if kept_evidence is None else kept_evidence.embedding
    embedder = engine.embedder_then(event.models.get("embedder", ""), embedding)
    people = _readable(event, await left_people(log, topics.people, found, kept, embedder))
    reasons = (left.gone, evidence, policy.gone, people, engine.gone(event.models))
    kept_people = people if isinstance(people, PeopleThen) else None
    request = left.request
    if request is None and kept_people is not None and policy.policy is not None:
        request = request_of_event(event, kept_people.snapshot().site, policy.policy)
    return Then(
        decision_of(event, kept_evidence),
        event.id,
        event,
        kept_evidence,
        request,
        kept_people,
        policy.policy,
        engine.models,
        engine.max_pixels,
        left.deadline_s,
        None if kept_people is None else await whole_person(log, topics.people, event.identity_id, kept_people),
        tuple(reason for reason in reasons if isinstance(reason, Gone)),
        policy.content,
    )


async def other_then_of(log: Broker, topics: Topics, found: FoundEvent, kept: Kept, engine: Engine) -> OtherThen:
    """Return what the log has left of an event of a kind that is decided again (capture.explaining.redoing).

    Raises:
        BrokerError: the log cannot be read.
    """
    event = found.event
    left = await left_request(log, found, kept, REDONE[event.kind])
    policy = await left_policy(log, topics.configs, event.policy)
    reasons: list[Gone | None] = [left.gone, policy.gone, engine.gone(event.models)]
    before = None
    if isinstance(left.request, EnrolRequest) and not any(reasons):
        embedder = engine.embedder_then(event.models.get("embedder", ""), None)
        people = await left_before(log, topics.people, found, left.request, kept, embedder)
        before = people if isinstance(people, Before) else None
        reasons.append(people if isinstance(people, Gone) else None)
    return OtherThen(
        event,
        left.request,
        policy.policy,
        engine.models,
        engine.max_pixels,
        left.deadline_s,
        before,
        tuple(reason for reason in reasons if reason is not None),
        policy.content,
    )


def _readable(event: Event, people: PeopleThen | Gone) -> PeopleThen | Gone:
    """Return the people unless records that a decision was based on cannot be read any more."""
    if isinstance(people, PeopleThen) and people.unreadable and not is_undecided(decision_of(event)):
        return Gone("gallery", "The people of then are gone: a record about them cannot be read any more.")
    return people

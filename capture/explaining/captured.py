"""Collects what a capture has of a match."""

from collections.abc import Sequence

from capture.explaining.gallery import PeopleThen
from capture.explaining.log import Engine
from capture.explaining.values import Gone, Then
from capture.reader import CaptureReader
from capture.replaying.policies import read_policies
from capture.timeline import CapturedEntry
from contract.captures.convert import request_with_pictures, request_without_pictures
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine, ConfigLine
from contract.configs import policy_key, policy_record
from contract.requests import MatchRequest
from engine.policy import Policy


def then_in(reader: CaptureReader, request_id: str, engine: Engine) -> Then | None:
    """Return what a capture has of a match; None: the capture has no request with that id.

    Raises:
        CaptureError: the capture is damaged, or has no decision for the request.
    """
    line = next((line for _, line in reader.lines() if line.request_id == request_id), None)
    if line is None:
        return None
    decision = line.decision
    if decision is None:
        raise CaptureError(f"the capture has no decision for the request {request_id}, so nothing can be explained")
    request = _request(reader, line)
    policies = [line for _, line in reader.configs()]
    policy, people = _policy(policies, decision), _people(reader, decision, engine)
    no_picture = None if request.picture else Gone("picture", "The capture does not have the picture of the request.")
    no_evidence = None
    if decision.embedding is None and (decision.error_code is None or decision.candidates):
        no_evidence = Gone("evidence", "The capture does not have the embedding of the face.")
    reasons = (no_picture, no_evidence, policy, people, engine.gone(decision.models))
    return Then(
        decision,
        request_id,
        request=request,
        people=people if isinstance(people, PeopleThen) else None,
        policy=policy if isinstance(policy, Policy) else None,
        models=engine.models,
        max_pixels=engine.max_pixels,
        gone=tuple(reason for reason in reasons if isinstance(reason, Gone)),
        policy_content=_policy_content(policies, decision),
    )


def _request(reader: CaptureReader, line: CaptureLine) -> MatchRequest:
    """Return the request, with its pictures where the capture has all of them."""
    if not all(map(reader.has_picture, line.request.all_pictures)):
        return request_without_pictures(line)
    return request_with_pictures(line, reader.picture)


def _policy(configs: Sequence[ConfigLine], decision: CapturedDecision) -> Policy | Gone:
    policy = read_policies(configs).get(decision.policy or "")
    return policy or Gone("policy", "The capture does not have the policy of the decision.")


def _policy_content(configs: Sequence[ConfigLine], decision: CapturedDecision) -> str | None:
    """Return the id that the content of the decision's policy has; None: the capture does not have the policy."""
    key = policy_key(decision.policy or "").decode()
    line = next((line for line in configs if line.key == key), None)
    return None if line is None else policy_record(line.value).id


def _people(reader: CaptureReader, decision: CapturedDecision, engine: Engine) -> PeopleThen | Gone:
    first, version = reader.manifest.people_from, decision.gallery_version
    if first is None:
        return Gone("gallery", "The capture does not have the people of then.")
    if decision.gallery_version < first:
        words = (
            f"The capture has the people from version {first} on, and the decision is of {decision.gallery_version}."
        )
        return Gone("gallery", words)
    identity = decision.embedder or decision.models.get("embedder", "")
    embedder = engine.embedder_then(identity, decision.embedding)
    people = PeopleThen(embedder.dimension, embedder.identity)
    people.take(CapturedEntry(line) for _, line in reader.people() if line.offset < version)
    return people

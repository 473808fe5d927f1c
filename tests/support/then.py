"""Decided matches as the log contains them, for tests of what explains them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from capture.explaining.gallery import PeopleThen
from capture.explaining.values import Gone, Then
from contract.captures.convert import decision_of
from contract.codec import encode
from contract.configs import model_set_record
from contract.errors import Refusal
from contract.people.keys import site_key
from contract.people.site import SiteRecord, site_key_of
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.reporting import Circumstances
from engine.policy import Policy
from engine.vision.ports import ModelSet
from tests.support.faces import MAX_PIXELS, MODELS, Enrolled, Entry, context, photo

RECEIVED_S = 1_763_985_600.0  # Monday 2025-11-24 12:00 UTC
DECIDED_S = RECEIVED_S + 0.25


@dataclass
class Past(Enrolled):
    """A people topic, and matches that were decided by it."""

    entries: list[Entry] = field(default_factory=list)

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Append records to the topic."""
        first = self.people.version
        self.entries += [Entry(key, value, first + place) for place, (key, value) in enumerate(records)]
        super().write(records)

    def put(self, record: SiteRecord) -> None:
        """Append a group, permission or device."""
        self.write([(site_key(site_key_of(record)), encode(record))])

    def then(
        self,
        picture: bytes | None = None,
        policy: Policy | None = None,
        *,
        refusal: Refusal | None = None,
        max_pixels: int = MAX_PIXELS,
        models: ModelSet = MODELS,
        **fields: Any,
    ) -> Then:
        """What the log has of a match that was decided now. `refusal`: the processor refused it unseen."""
        request = MatchRequest(
            **{
                "request_id": "r1",
                "device_ip": "10.0.0.1",
                "picture": photo(1) if picture is None else picture,
                "compare_time_s": RECEIVED_S,
                "received_time_s": RECEIVED_S,
                **fields,
            }
        )
        call, snapshot, given = MatchCall(), self.people.snapshot(), context(policy, models, max_pixels)
        if refusal is None:
            decision = call.decide(request, snapshot, given)
        else:
            decision = call.refuse(request, refusal, snapshot, given)
        at = Circumstances(
            "requests",
            3,
            7,
            DECIDED_S,
            snapshot.version,
            dict(MODELS.identities),
            tuple(map(picture_digest, request.pictures)),
            policy="p1",
            model_set=model_set_record(dict(MODELS.identities)).id,
        )
        event, evidence = call.event(request, decision, given, at), call.evidence(request, decision, given, at)
        people = PeopleThen(MODELS.embedder.dimension, MODELS.embedder_identity)
        people.take(self.entries)
        return Then(
            decision_of(event, evidence),
            "r1",
            event,
            evidence,
            request,
            people,
            given.policy,
            models,
            max_pixels,
            deadline_s=RECEIVED_S + 3.0,
        )


def without_picture(then: Then) -> Then:
    """What is left when retention has removed the picture."""
    assert then.request is not None
    gone = Gone("picture", "The picture is gone.", DECIDED_S)
    return replace(then, request=structs.replace(then.request, picture=b"", ir_picture=None), gone=(*then.gone, gone))


def without_evidence(then: Then) -> Then:
    """What is left where no evidence was written."""
    assert then.event is not None
    gone = Gone("evidence", "No evidence was written.")
    return replace(then, evidence=None, decision=decision_of(then.event), gone=(*then.gone, gone))

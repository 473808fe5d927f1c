"""What a processor writes about one request, and what it does not even compute."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from broker.port import Record
from contract.answers import decode_reply
from contract.audit import LOG_OPERATOR, MOST_OBJECTS, Actor, ChangeRecord, decode_audit, objects_of
from contract.errors import Code, Refusal
from contract.events import ErrorInfo, decode_event
from contract.evidence import decode_evidence
from contract.requests import CompareRequest, DeleteRequest, EnrolRequest, FiqaRequest, MatchRequest
from contract.site_requests import MembersRequest
from contract.topics import Topics
from engine.calls import call_of
from engine.calls.people import ChangeDecision
from engine.context import Contexts
from engine.policy import Policy
from processor import processing
from processor.configs import policy_config
from processor.envelope import Envelope, ReplyAddress
from processor.outputs import Emission, Emitter, Ids
from processor.processing import Failure, Processed
from tests.support.faces import MODELS, Enrolled, context, photo

TOPICS = Topics()
PICTURES = photo(1), photo(1, size=200)
LETTER = Failure("compare", "KeyError")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pictures of which a sha256 was made."""
    made: list[bytes] = []
    original = processing.picture_digest

    def counting(picture: bytes) -> str:
        made.append(picture)
        return original(picture)

    monkeypatch.setattr(processing, "picture_digest", counting)
    return made


def asked(kind: str, **fields: Any) -> Any:
    if kind == "fiqa":
        return FiqaRequest(request_id="r1", picture=PICTURES[0], received_time_s=1.0)
    required: dict[str, Any] = {"request_id": "r1", "compare_time_s": 1.0, "received_time_s": 1.0}
    if kind == "match":
        return MatchRequest(device_ip="10.0.0.1", picture=PICTURES[0], **required, **fields)
    face, card = PICTURES
    return CompareRequest(face_picture=face, card_picture=card, **required, **fields)


def emitter_of(*, evidence: bool = True, written: tuple[Policy, ...] = (Policy(),)) -> Emitter:
    """An emitter that knows of these policies in the configs topic."""
    keys = {policy_config(policy).key for policy in written}
    return Emitter(TOPICS, Contexts(context()), Ids({}, "m1"), "/test", lambda: 2.0, evidence, keys)


def emitted(
    kind: str,
    *,
    emitter: Emitter | None = None,
    policy: Policy | None = None,
    envelope: dict[str, Any] | None = None,
    **fields: Any,
) -> Emission:
    """What follows from a request of that kind. `fields` with the names of `Processed` are its fields."""
    processed_fields = {name: fields.pop(name) for name in ("failure", "digests") if name in fields}
    request, enrolled = asked(kind, **fields), Enrolled()
    enrolled.enrol("anna", 1)
    gallery, given, call = enrolled.people.snapshot(), context(policy), call_of(request)
    decision = call.decide(request, gallery, given)  # type: ignore[attr-defined]
    came_in = replace(Envelope("r1", ReplyAddress(TOPICS.replies, 0, b"i"), None, 0), **(envelope or {}))
    record = Record(TOPICS.requests, 0, 0, 0, b"k", b"")
    done = Processed(record, came_in, call, request, given, decision, **processed_fields)
    return (emitter or emitter_of()).of(done, decision, 5)


@pytest.mark.parametrize(("kind", "outcome"), [("compare", "same"), ("fiqa", "measured")])
def test_of_what_leaves_no_event_no_picture_is_hashed(hashed: list[bytes], kind: str, outcome: str) -> None:
    emission = emitted(kind)

    assert hashed == []
    assert [record.topic for record in emission.records] == [TOPICS.replies]
    assert (emission.kind, emission.outcome, emission.kept) == (kind, outcome, False)
    assert {"decode", "detect", "embed"} <= emission.timings_ms.keys()


def test_a_saved_comparison_tells_the_hash_of_both_pictures(hashed: list[bytes]) -> None:
    emission = emitted("compare", need_save=True)

    assert hashed == [*PICTURES]
    assert [record.topic for record in emission.records] == [TOPICS.events, TOPICS.replies]
    event = decode_event(emission.records[0].value or b"")
    assert (event.kind, event.outcome, event.timings_ms) == (emission.kind, emission.outcome, emission.timings_ms)
    assert emission.kept


@pytest.mark.parametrize("kind", ["compare", "fiqa"])
def test_what_would_be_lost_leaves_an_event_whoever_asked_for_none(kind: str) -> None:
    failed, again = emitted(kind, failure=LETTER), emitted(kind, envelope={"retry_of": "r0"})

    assert [record.topic for record in failed.records] == [TOPICS.events, TOPICS.replies, TOPICS.dead_letters]
    assert [record.topic for record in again.records] == [TOPICS.events, TOPICS.replies]
    assert failed.kept
    assert again.kept


def test_a_match_leaves_evidence_under_the_id_of_its_event() -> None:
    emission = emitted("match")

    assert [record.topic for record in emission.records] == [TOPICS.events, TOPICS.evidence, TOPICS.replies]
    evidence = decode_evidence(emission.records[1].value or b"")
    assert emission.records[1].key == b"r1"
    assert (evidence.event_id, evidence.outcome, evidence.gallery_version) == ("r1", "matched", 5)
    assert (evidence.policy, evidence.model_set) == (policy_config(Policy()).id, "m1")
    assert evidence.embedder == MODELS.embedder_identity
    (candidate,) = evidence.candidates
    assert (candidate.identity_id, candidate.number) == ("anna", 0)
    probe = np.frombuffer(evidence.embedding, "<f2").astype(np.float32)
    assert len(probe) == MODELS.embedder.dimension
    assert float(np.linalg.norm(probe)) == pytest.approx(1.0, abs=1e-3)
    event = decode_event(emission.records[0].value or b"")
    assert (evidence.faces, evidence.face, evidence.quality_score) == (event.faces, event.face, event.quality_score)


def test_evidence_is_kept_only_where_the_operator_wants_it() -> None:
    assert [record.topic for record in emitted("match", emitter=emitter_of(evidence=False)).records] == [
        TOPICS.events,
        TOPICS.replies,
    ]


def test_a_policy_that_is_not_in_the_log_is_written_with_the_first_event_that_names_it() -> None:
    emitter, changed = emitter_of(), Policy(threshold=0.5)

    first = emitted("match", emitter=emitter, policy=changed)
    (config,) = [record for record in first.records if record.topic == TOPICS.configs]
    event, evidence = decode_event(first.records[0].value or b""), decode_evidence(first.records[1].value or b"")
    assert config.key == f"policy/{evidence.policy}".encode() == f"policy/{event.policy}".encode()
    assert (config.value, config.partition) == (policy_config(changed).value, 0)

    again = emitted("match", emitter=emitter, policy=changed)
    assert config in again.records, "nobody knows yet whether the first transaction was committed"
    emitter.committed([first])
    later = emitted("match", emitter=emitter, policy=changed)
    assert [record.topic for record in later.records] == [TOPICS.events, TOPICS.evidence, TOPICS.replies]


def test_a_replayed_request_is_marked_in_its_event_and_in_its_reply() -> None:
    emission = emitted("match", envelope={"replay_of": "r0"})

    assert decode_event(emission.records[0].value or b"").replay_of == "r0"
    assert decode_reply(emission.records[-1].value or b"").replay_of == "r0"
    assert decode_event(emitted("match").records[0].value or b"").replay_of is None


def test_digests_that_were_computed_in_a_matching_thread_are_not_computed_again(hashed: list[bytes]) -> None:
    emission = emitted("match", digests=("ab" * 32,))

    assert hashed == []
    assert decode_event(emission.records[0].value or b"").request.sha256 == "ab" * 32


def administered(
    actor: Actor | None, request: Any = None, envelope: dict[str, Any] | None = None, **decided: Any
) -> Emission:
    """What follows from an administrative request, by default the deletion of somebody unknown."""
    request = request or DeleteRequest(request_id="r1", identity_id="p1", received_time_s=1.0)
    call = call_of(request)
    decision = ChangeDecision(**{"outcome": "refused", "refusal": Refusal(Code.ID_NOT_FOUND, "nobody"), **decided})
    record = Record(TOPICS.admin, 0, 0, 0, b"k", b"")
    sent = Envelope("r1", ReplyAddress(TOPICS.replies, 0, b"i"), None, 0, actor=actor, **(envelope or {}))
    return emitter_of().of(Processed(record, sent, call, request, context(), decision), decision, 5)


def test_an_administrative_request_leaves_an_audit_record_beside_its_event() -> None:
    emission = administered(Actor(name="office", role="operator", peer="10.0.0.9", key_id="k1"))

    assert [record.topic for record in emission.records] == [TOPICS.events, TOPICS.replies, TOPICS.audit]
    audit = emission.records[-1]
    assert (audit.key, audit.partition) == (b"office", 0)
    assert decode_audit(audit.value or b"") == ChangeRecord(
        request_id="r1",
        actor="office",
        role="operator",
        peer="10.0.0.9",
        key_id="k1",
        kind="delete",
        action="delete",
        objects=("p1",),
        objects_total=1,
        outcome="refused",
        error=ErrorInfo(code=40401, status="ID_NOT_FOUND", message="nobody"),
        time=2.0,
        received_time=1.0,
        gallery_version=5,
    )


def test_the_audit_record_of_a_dead_letter_that_was_sent_again_names_both_people() -> None:
    office = Actor(name="office", role="operator", peer="10.0.0.9")
    emission = administered(office, envelope={"retry_of": "r0", "retried_by": LOG_OPERATOR})
    audit = decode_audit(emission.records[-1].value or b"")
    assert isinstance(audit, ChangeRecord)
    assert (audit.actor, audit.retry_of, audit.retried_by) == ("office", "r0", "operator of the log")


def test_a_request_whose_caller_nobody_wrote_down_has_an_unknown_actor_and_a_query_leaves_no_audit_record() -> None:
    audit = decode_audit(administered(None).records[-1].value or b"")
    assert isinstance(audit, ChangeRecord)
    assert (audit.actor, audit.role, audit.peer) == ("unknown", None, "unknown")
    assert TOPICS.audit not in [record.topic for record in emitted("match").records]


def test_an_audit_record_names_some_objects_and_counts_all_and_contains_no_picture_and_no_feature() -> None:
    many = tuple(f"p{number}" for number in range(MOST_OBJECTS + 5))
    members = MembersRequest(request_id="r1", received_time_s=1.0, action="add", group_name="staff", identity_ids=many)
    assert (objects_of(members)[:2], len(objects_of(members))) == (("staff", "p0"), MOST_OBJECTS + 6)
    enrolment = EnrolRequest(
        request_id="r1", identity_id="p1", received_time_s=1.0, photo=b"JPEGDATA", feature=(0.123456,), info={"a": "b"}
    )
    audit = administered(None, enrolment).records[-1].value or b""
    assert b"JPEGDATA" not in audit
    assert b"0.123456" not in audit
    assert b'"objects":["p1"]' in audit
    assert b'"fields":["photo","feature"]' in audit
    assert b'"other_info":1' in audit

"""Which records of the log are about a person, and what the report of an erasure says of them."""

import pytest
from msgspec import structs

from broker.kafka.topics import latest_removal_ms
from broker.port import ERASED, Position, Record, TopicSpec
from contract.answers import MatchAnswer, PersonAnswer, Reply
from contract.audit import RefusedKeysRecord, encode_audit
from contract.codec import encode
from contract.dead_letters import DeadLetter
from contract.events import encode_event
from contract.evidence import Evidence, EvidenceCandidate
from contract.findings import Lookalike, MatchedFace
from contract.imports import ImportedPerson
from contract.people.keys import face_key, person_key, photo_key
from contract.requests import DeleteRequest, StrangerRequest
from contract.site_requests import EmbeddedFace, ImportRequest, MembersRequest, ReembedRequest
from contract.terms import Message
from picturematch.audit_notes import log_change
from picturematch.erasure_report import Kept, Line, report, waits_with_faces
from picturematch.traces import Traces
from sinks.letters import Letters
from tests.support.records import TOPICS, enrol_request, event_of, match_request

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def record(
    topic: str, offset: int, value: bytes | Message | None, key: bytes | None = None, **fields: object
) -> Record:
    encoded = encode(value) if isinstance(value, Message) else value
    return Record(topic, 0, offset, 1_000 + offset, key, encoded, **fields)


def found(traces: Traces) -> dict[str, list[int]]:
    """Topic -> the offsets of the person's records."""
    return {topic: [place.offset for place in each.places] for topic, each in traces.by_topic.items()}


def naming(traces: Traces) -> dict[str, list[int]]:
    """Topic -> the offsets of the records that only name the person."""
    return {topic: [place.offset for place in each.places] for topic, each in traces.naming.items()}


def evidence(number: int, threshold: float, *candidates: tuple[str, float]) -> Record:
    value = Evidence(
        event_id=f"r{number}",
        outcome="matched",
        decided_time=1.0,
        gallery_version=1,
        policy="p",
        model_set="m",
        embedder="e",
        embedding=b"embedding",
        threshold=threshold,
        candidates=tuple(EvidenceCandidate(identity_id=who, number=0, cosine=cosine) for who, cosine in candidates),
    )
    return record(TOPICS.evidence, number, value, f"r{number}".encode())


def test_evidence_is_about_whom_it_recognised_and_only_names_the_others() -> None:
    traces = Traces("7", TOPICS)
    traces.take(
        [
            evidence(0, 0.5, ("7", 0.5), ("8", 0.1)),
            evidence(1, 0.5, ("7", 0.49), ("8", 0.1)),
            evidence(2, 0.5, ("8", 0.9), ("7", 0.8)),
            evidence(3, 0.5, ("8", 0.9)),
            evidence(4, 0.5),
        ]
    )
    assert found(traces) == {TOPICS.evidence: [0]}
    assert naming(traces) == {TOPICS.evidence: [1, 2]}
    assert traces.newest_ms(TOPICS.evidence) == 1_002, "the newest that waits, not only the newest that is erased"


@pytest.mark.parametrize(
    ("changes", "is_about"),
    [
        *(({"outcome": outcome}, True) for outcome in ("matched", "blacklisted", "not_valid", "not_in_pass_time")),
        ({"outcome": "stranger"}, False),  # the nearest person, where the request asked for it
        ({"kind": "compare", "outcome": "same"}, False),  # the caller's own words
    ],
)
def test_only_a_match_in_which_the_person_was_recognised_makes_its_picture_one_of_the_person(
    changes: dict[str, str], is_about: bool
) -> None:
    traces = Traces("7", TOPICS)
    event = event_of(match_request(1), Position(TOPICS.requests, 0, 5), **changes)
    traces.take([record(TOPICS.events, 0, encode_event(event))])
    traces.take([evidence(1, 0.5, ("7", 0.1))])
    traces.take([record(TOPICS.requests, 5, match_request(1))])
    of_the_person = {TOPICS.evidence: [1], TOPICS.requests: [5]} if is_about else {}
    assert found(traces) == {TOPICS.events: [0], **of_the_person}


@pytest.mark.parametrize(("outcome", "is_about"), [("matched", True), ("blacklisted", True), ("stranger", False)])
def test_a_picture_in_which_the_person_was_recognised_beside_somebody_else_is_one_of_the_person(
    outcome: str, is_about: bool
) -> None:
    traces = Traces("7", TOPICS)
    beside = MatchedFace(face=None, outcome=outcome, identity_id="7", rival=True)
    event = event_of(match_request(1), Position(TOPICS.requests, 0, 5), identity_id="8", searched=(beside,))
    traces.take([record(TOPICS.events, 0, encode_event(event)), record(TOPICS.requests, 5, match_request(1))])
    assert found(traces) == {TOPICS.events: [0], **({TOPICS.requests: [5]} if is_about else {})}
    answer = MatchAnswer(retcode="1", identity_id="8", name="", score=0.9, identity_info={}, faces=(beside,))
    traces.take([record(TOPICS.replies, 1, encode(Reply(request_id="r1", answer=answer, gallery_version=0)))])
    assert found(traces)[TOPICS.replies] == [1]


def test_another_request_at_the_place_that_an_event_names_is_not_the_persons() -> None:
    traces = Traces("7", TOPICS)
    event = event_of(match_request(1), Position(TOPICS.requests, 0, 5))
    traces.take([record(TOPICS.events, 0, encode_event(event)), record(TOPICS.requests, 5, match_request(2))])
    assert found(traces) == {TOPICS.events: [0]}


def test_the_requests_in_which_the_person_was_recognised_are_known_from_the_events() -> None:
    traces = Traces("7", TOPICS)
    mine, others = (Position(TOPICS.requests, 0, n) for n in (3, 4))
    events = [event_of(match_request(3), mine), event_of(match_request(4), others, identity_id="70")]
    enrolled = event_of(enrol_request(7), Position(TOPICS.admin, 0, 1))
    traces.take([record(TOPICS.events, n, encode_event(e)) for n, e in enumerate([*events, enrolled])])
    assert list(traces.requests) == [mine]
    traces.take([record(TOPICS.requests, 3, match_request(3)), record(TOPICS.requests, 4, match_request(4))])
    assert found(traces) == {TOPICS.events: [0, 2], TOPICS.requests: [3]}


def stranger_request(number: int, match: int) -> StrangerRequest:
    return StrangerRequest(
        request_id=f"r{number}",
        identity_id=f"s{number}",
        match_id=f"r{match}",
        match_partition=0,
        match_offset=match,
        picture=b"jpeg",
        group_id="default_group",
        permission_id="0",
        cosine=0.1,
        received_time_s=1.0,
        compare_time_s=1.0,
    )


@pytest.mark.parametrize("outcome", ["enrolled", "known"])
def test_the_match_in_which_a_stranger_was_seen_is_known_from_the_request_to_enrol_the_stranger(outcome: str) -> None:
    traces = Traces("s7", TOPICS)
    one, other, unsure = stranger_request(7, 3), stranger_request(8, 4), stranger_request(9, 5)
    requests = {1: one, 2: other, 3: unsure}
    known = [
        event_of(request, Position(TOPICS.admin, 0, n), kind="stranger", outcome=outcome, identity_id="s7")
        for n, request in list(requests.items())[:2]
    ]
    refused = event_of(unsure, Position(TOPICS.admin, 0, 3), kind="stranger", outcome="refused", identity_id="")
    traces.take([record(TOPICS.events, n, encode_event(e)) for n, e in enumerate([*known, refused])])
    traces.take([record(TOPICS.admin, n, request) for n, request in requests.items()])
    traces.take([evidence(3, 0.5, ("8", 0.1)), evidence(4, 0.5, ("8", 0.1)), evidence(5, 0.5, ("8", 0.1))])
    assert list(traces.requests) == [Position(TOPICS.requests, 0, 3), Position(TOPICS.requests, 0, 4)]
    traces.take([record(TOPICS.requests, n, match_request(n)) for n in (3, 4, 5)])
    seen_in = {TOPICS.requests: [3, 4], TOPICS.evidence: [3, 4]}
    assert found(traces) == {TOPICS.events: [0, 1], TOPICS.admin: [1, 2], **seen_in}


def letter(request: Message) -> DeadLetter:
    return DeadLetter(
        topic=TOPICS.admin,
        partition=0,
        offset=9,
        stage="enrol",
        code=50080,
        error="e",
        attempt=1,
        timestamp_ms=1,
        key=None,
        value=encode(request),
        headers=(),
    )


def members_request(*identity_ids: str, group_name: str = "staff") -> MembersRequest:
    return MembersRequest(
        request_id="r", received_time_s=1.0, action="add", group_name=group_name, identity_ids=identity_ids
    )


def test_requests_and_events_that_only_name_the_person_are_found_and_are_not_erased() -> None:
    deletion = DeleteRequest(request_id="d", received_time_s=1.0, identity_id="7")
    named = [deletion, members_request("8", "7"), members_request("8"), members_request("8", group_name="7")]
    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.admin, n, request) for n, request in enumerate(named)])
    traces.take([record(TOPICS.dead_letters, n, letter(request)) for n, request in enumerate(named)])
    group = event_of(enrol_request(1), Position(TOPICS.admin, 0, 1), kind="members", identity_id="")
    for n, ids in enumerate((("7", "8"), ("8",))):
        traces.take([record(TOPICS.events, n, encode_event(structs.replace(group, identity_ids=ids)))])
    assert (found(traces), naming(traces)) == (
        {TOPICS.events: [0]},
        {TOPICS.admin: [0, 1], TOPICS.dead_letters: [0, 1]},
    )
    lines = [line for line in lines_of(traces, single=True) if line.records]
    assert [(line.what, line.topic, line.records, line.biometric) for line in lines] == [
        ("waits", TOPICS.events, 1, False),
        ("waits", TOPICS.admin, 2, False),
        ("waits", TOPICS.dead_letters, 2, False),
    ]


def test_a_request_with_embeddings_of_the_person_is_found_and_one_that_removes_some_only_names_it() -> None:
    def reembed(action: str, *who: str) -> ReembedRequest:
        faces = tuple(EmbeddedFace(identity_id=one, number=0, templates={"whole": b"1234"}) for one in who)
        return ReembedRequest(request_id="r", received_time_s=1.0, action=action, embedder="e-r1", faces=faces)

    requests = [reembed("add", "8", "7"), reembed("add", "8"), reembed("remove", "7", "8"), reembed("remove", "8")]
    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.admin, n, request) for n, request in enumerate(requests)])
    traces.take([record(TOPICS.dead_letters, n, letter(request)) for n, request in enumerate(requests)])
    assert found(traces) == {TOPICS.admin: [0], TOPICS.dead_letters: [0]}
    assert naming(traces) == {TOPICS.admin: [2], TOPICS.dead_letters: [2]}


def test_an_import_with_the_person_is_found() -> None:
    def imported(*who: str) -> ImportRequest:
        people = tuple(ImportedPerson(identity_id=one) for one in who)
        return ImportRequest(request_id="r", received_time_s=1.0, people=people)

    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.admin, n, imported(*who)) for n, who in enumerate((("8", "7"), ("8", "77")))])
    assert found(traces) == {TOPICS.admin: [0]}


def test_the_audit_records_that_name_the_person_are_found_and_wait_for_their_retention() -> None:
    def change(kind: str, *objects: str) -> bytes:
        return log_change(TOPICS, kind, "o", objects).value or b""

    named = [
        *(change(kind, "7") for kind in ("enrol", "delete", "reembed", "import")),
        change("erase", "7"),
        change("members", "staff", "8", "7"),
        change("repair", "person/7", "face/7/0/e"),
        change("members", "7", "8"),
        change("group", "7"),
        change("delete", "77"),
        change("repair", "person/77", "strange"),
        encode_audit(RefusedKeysRecord(peer="7", time=1.0, counts={})),
        b"nonsense",
    ]
    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.audit, n, value) for n, value in enumerate(named)])
    assert found(traces) == {TOPICS.audit: [0, 1, 2, 3, 4, 5, 6]}
    for single in (True, False):
        (line,) = [line for line in lines_of(traces, single=single) if line.topic == TOPICS.audit]
        assert (line.what, line.records, line.until, line.biometric) == ("waits", 7, 3600.0, False)


def test_enrolments_dead_letters_and_replies_are_found_by_their_contents() -> None:
    def reply(who: str) -> Reply:
        answer = MatchAnswer(retcode="1", identity_id=who, name="", score=1.0, identity_info={})
        return Reply(request_id="r", answer=answer, gallery_version=1)

    traces = Traces("7", TOPICS)
    traces.take(
        [
            *(record(TOPICS.admin, n, enrol_request(n)) for n in (7, 77)),
            *(record(TOPICS.dead_letters, n, letter(enrol_request(n))) for n in (7, 77)),
            *(record(TOPICS.replies, n, reply(str(n))) for n in (7, 77)),
            *(record(topic, 1, b"nonsense") for topic in (TOPICS.admin, TOPICS.dead_letters, TOPICS.replies)),
            record(TOPICS.admin, 8, None, headers=((ERASED, b""),)),
        ]
    )
    assert found(traces) == {TOPICS.admin: [7], TOPICS.dead_letters: [7], TOPICS.replies: [7]}


def test_an_event_that_a_sink_could_not_pass_on_names_the_person_in_its_dead_letter() -> None:
    def letter_of(number: int, who: str) -> Record:
        event = event_of(match_request(number), Position(TOPICS.requests, 0, number), identity_id=who)
        passed = Record(TOPICS.events, 0, number, 0, b"", encode_event(event))
        letters = Letters(TOPICS.dead_letters, "hall")
        letters.add(passed, "the receiver is down")
        (letter,) = letters.take(0)
        return record(TOPICS.dead_letters, number, letter.value)

    traces = Traces("7", TOPICS)
    traces.take([letter_of(1, "7"), letter_of(2, "8")])
    assert (found(traces), naming(traces)) == ({}, {TOPICS.dead_letters: [1]})


def test_the_enrolment_of_somebody_else_names_the_person_as_a_look_alike() -> None:
    alike = tuple(Lookalike(identity_id=who, score=0.9, percent=95.0, shares_scope=True) for who in ("5", "7"))
    event = event_of(enrol_request(1), Position(TOPICS.admin, 0, 1), kind="enrol", identity_id="1")
    answer = PersonAnswer(identity_id="1", group_names=(), info={}, lookalikes=alike)
    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.events, 1, encode_event(event))])
    traces.take([record(TOPICS.events, 2, encode_event(structs.replace(event, lookalikes=alike)))])
    traces.take([record(TOPICS.replies, 3, Reply(request_id="r", answer=answer, gallery_version=1))])
    assert (found(traces), naming(traces)) == ({TOPICS.events: [2]}, {TOPICS.replies: [3]})
    sentences = [line.sentence for line in lines_of(traces, single=True) if line.topic == TOPICS.replies]
    assert any("name the person as a look-alike" in sentence for sentence in sentences)


def test_records_of_people_and_photos_are_found_by_their_keys_and_tombstones_are_none() -> None:
    traces = Traces("7", TOPICS)
    traces.take(
        [
            record(TOPICS.people, 0, b"face", face_key("7", 0, "e")),
            record(TOPICS.people, 1, b"person", person_key("7")),
            record(TOPICS.people, 2, b"other", person_key("77")),
            record(TOPICS.people, 3, b"strange", b"\xff"),
        ]
    )
    assert traces.enrolled
    traces.take(
        [record(TOPICS.people, 4, None, person_key("7")), record(TOPICS.people, 5, None, face_key("7", 0, "e"))]
    )
    traces.take([record(TOPICS.photos, n, b"jpeg", photo_key(who, 0)) for n, who in enumerate(("7", "77"))])
    assert (found(traces), traces.enrolled, traces.version) == ({TOPICS.people: [0, 1], TOPICS.photos: [0]}, False, 6)


def lines_of(traces: Traces, *, single: bool) -> list[Line]:
    until_s = dict.fromkeys((*traces.order, TOPICS.requests), 3600.0)
    return list(report(traces, TOPICS, Kept(single, until_s), deleted=True, replaced=["/data/replaced-1"]))


def test_a_file_that_is_not_written_anew_may_contain_pieces_and_the_report_says_so() -> None:
    traces = Traces("7", TOPICS)
    until_s = dict.fromkeys((*traces.order, TOPICS.requests), 3600.0)
    for rewritten in (True, False):
        kept = Kept(True, until_s, rewritten=rewritten)
        lines = list(report(traces, TOPICS, kept, deleted=True, replaced=[]))
        assert ("picturematch log rewrite" in "".join(line.sentence for line in lines)) == (not rewritten)
        assert waits_with_faces(lines) == (not rewritten)


def test_the_report_says_what_was_erased_what_waits_and_what_lies_outside() -> None:
    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.events, 0, encode_event(event_of(match_request(1), Position(TOPICS.requests, 0, 1))))])
    traces.take([evidence(1, 0.5, ("7", 0.9)), evidence(2, 0.5, ("8", 0.9), ("7", 0.8))])
    embedded = [structs.asdict(line) for line in lines_of(traces, single=True)]
    kafka = [structs.asdict(line) for line in lines_of(traces, single=False)]
    assert [(line["what"], line["topic"], line["records"]) for line in embedded[:5]] == [
        ("deleted", None, None),
        ("erased", TOPICS.evidence, 1),
        ("waits", TOPICS.events, 1),
        ("waits", TOPICS.evidence, 1),
        ("waits", TOPICS.requests, None),
    ]
    assert [line["what"] for line in kafka[:3]] == ["deleted", "waits", "waits"]
    assert kafka[1]["sentence"].endswith("until 1970-01-01 01:00 UTC")
    assert next(line["sentence"] for line in embedded if line["what"] == "outside") == (
        "the former log /data/replaced-1, which a restore moved aside"
    )


def test_only_records_with_faces_that_wait_make_the_command_fail() -> None:
    traces = Traces("7", TOPICS)
    traces.take([record(TOPICS.events, 0, encode_event(event_of(match_request(1), Position(TOPICS.requests, 0, 1))))])
    traces.take([evidence(2, 0.5, ("8", 0.9), ("7", 0.8))])
    assert not waits_with_faces(lines_of(traces, single=False))
    traces.take([evidence(1, 0.5, ("7", 0.9))])
    assert waits_with_faces(lines_of(traces, single=False))
    assert not waits_with_faces(lines_of(traces, single=True))


def test_kafka_removes_records_after_their_retention_their_segment_and_the_brokers_next_check() -> None:
    week = TopicSpec("requests", 1, retention_ms=7 * DAY_MS)
    assert latest_removal_ms(week, 1_000) == 1_000 + 7 * DAY_MS + DAY_MS + 300_000
    people = TopicSpec("people", 1, compacted=True, min_compaction_lag_ms=7 * DAY_MS)
    assert latest_removal_ms(people, 1_000) == 1_000 + 7 * DAY_MS + 2 * HOUR_MS

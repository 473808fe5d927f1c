import msgspec
import pytest

from broker.port import ERASED, NewRecord, Position, Record
from contract.audit import Actor
from contract.codec import encode
from contract.dead_letters import DeadLetter, RetryMark, decode_dead_letter
from contract.requests import Headers, MatchRequest, decode_request
from contract.topics import Topics
from processor.dead_letters import Register, retry
from processor.envelope import envelope_of
from tests.support.records import match_request

TOPICS = Topics()
REQUEST = match_request(1)
HEADERS = (
    (Headers.REQUEST_ID, b"r1"),
    (Headers.REPLY_TOPIC, TOPICS.replies.encode()),
    (Headers.REPLY_PARTITION, b"2"),
    (Headers.REPLY_INSTANCE, b"instance"),
    (Headers.DEADLINE_MS, b"1700000000000"),
    (Headers.GALLERY_VERSION, b"9"),
    ("traceparent", b"00-11-22-01"),
)


def letter(value: bytes | None = encode(REQUEST), headers: tuple[tuple[str, bytes], ...] = HEADERS, attempt: int = 1):
    return DeadLetter(
        topic=TOPICS.requests,
        partition=3,
        offset=40,
        stage="match",
        code=50080,
        error="RuntimeError",
        attempt=attempt,
        timestamp_ms=5,
        key=b"10.0.0.1",
        value=value,
        headers=headers,
    )


def at(offset: int, message: msgspec.Struct | bytes, partition: int = 0, timestamp_ms: int = 7) -> Record:
    value = message if isinstance(message, bytes) else encode(message)
    return Record(TOPICS.dead_letters, partition, offset, timestamp_ms, b"10.0.0.1", value)


def place(offset: int, partition: int = 0) -> Position:
    return Position(TOPICS.dead_letters, partition, offset)


def written(new: NewRecord, offset: int = 0) -> Record:
    return Record(new.topic, new.partition or 0, offset, 8, new.key, new.value, new.headers)


def test_a_retry_is_the_same_request_under_another_id() -> None:
    request, _ = retry(at(17, letter()), "new", TOPICS)
    assert (request.topic, request.key, request.partition) == (TOPICS.requests, b"10.0.0.1", None)
    sent = decode_request(request.value or b"")
    assert isinstance(sent, MatchRequest)
    assert sent == msgspec.structs.replace(REQUEST, request_id="new")


def test_nobody_waits_for_a_retry_and_any_gallery_will_do() -> None:
    request, _ = retry(at(17, letter()), "new", TOPICS)
    envelope = envelope_of(written(request), TOPICS.replies)
    assert (envelope.reply_to, envelope.deadline_s, envelope.gallery_version) == (None, None, 0)
    assert (envelope.request_id, envelope.retry_of, envelope.attempt) == ("new", "r1", 2)
    assert dict(request.headers)["traceparent"] == b"00-11-22-01"


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00poison"])
def test_what_was_not_readable_is_sent_as_it_was(value: bytes | None) -> None:
    request, _ = retry(at(17, letter(value)), "new", TOPICS)
    assert request.value == value


def test_a_record_without_an_id_is_named_by_its_place_as_in_its_event() -> None:
    request, _ = retry(at(17, letter(headers=())), "new", TOPICS)
    assert dict(request.headers)[Headers.RETRY_OF] == b"picturematch.requests-3-40"


def test_a_retry_of_a_retry_counts_on_and_names_the_one_before() -> None:
    first, _ = retry(at(17, letter()), "second", TOPICS)
    second, _ = retry(at(30, letter(first.value, first.headers, attempt=2)), "third", TOPICS)
    envelope = envelope_of(written(second), TOPICS.replies)
    assert (envelope.request_id, envelope.retry_of, envelope.attempt) == ("third", "second", 3)


def administrative(*headers: tuple[str, bytes]) -> DeadLetter:
    return msgspec.structs.replace(letter(headers=(*HEADERS, *headers)), topic=TOPICS.admin)


def test_an_administrative_retry_names_its_caller_and_who_sent_it_again_however_often() -> None:
    office = Actor(name="office", role="operator", peer="10.0.0.9", key_id="k1")
    letters = administrative((Headers.ACTOR, encode(office)))
    for number in range(3):
        request, _ = retry(at(17, letters), f"new{number}", TOPICS)
        envelope = envelope_of(written(request), TOPICS.replies)
        assert (envelope.actor, envelope.retried_by) == (office, "operator of the log")
        assert [name for name, _ in request.headers].count(Headers.RETRIED_BY) == 1
        letters = administrative(*request.headers)


def test_a_retry_of_a_query_has_no_actor_whatever_its_record_claims() -> None:
    forged = encode(Actor(name="office", role="administrator", peer="10.0.0.9"))
    request, _ = retry(at(17, letter(headers=(*HEADERS, (Headers.ACTOR, forged)))), "new", TOPICS)
    assert envelope_of(written(request), TOPICS.replies).actor is None


def test_nobody_has_sent_a_first_request_again() -> None:
    assert envelope_of(Record(TOPICS.admin, 0, 0, 0, b"k", b"", HEADERS), TOPICS.replies).retried_by is None


def test_the_mark_names_the_letter_beside_which_it_stands() -> None:
    _, mark = retry(at(17, letter(), partition=2), "new", TOPICS)
    assert (mark.topic, mark.partition) == (TOPICS.dead_letters, 2)
    assert decode_dead_letter(mark.value or b"") == RetryMark(partition=2, offset=17, request_id="new")


@pytest.mark.parametrize("value", [RetryMark(partition=0, offset=1, request_id="x"), b"", b"no letter"])
def test_what_is_no_letter_cannot_be_sent_again(value: RetryMark | bytes) -> None:
    with pytest.raises(ValueError, match="no dead letter"):
        retry(at(17, value), "new", TOPICS)


def test_a_register_knows_which_letters_were_sent_again_and_as_what() -> None:
    register = Register()
    register.take([at(0, letter()), at(1, letter())])
    register.take(written(retry(at(0, letter()), new, TOPICS)[1], 2) for new in ("new", "newer"))
    assert [found.retried_as for found in register.letters()] == [("new", "newer"), ()]
    assert register.letter(place(2)) is None
    assert register.unreadable == 0


def test_a_letter_is_summed_up_without_its_bytes() -> None:
    register = Register()
    register.take([at(4, letter(b"\xffpicture", (*HEADERS, (Headers.RETRY_OF, b"r0")), attempt=2))])
    summary = register.letter(place(4))
    assert summary is not None
    assert (summary.request_id, summary.retry_of, summary.attempt, summary.size_bytes) == ("r1", "r0", 2, 8)
    assert summary.original == Position(TOPICS.requests, 3, 40)
    assert "picture" not in str(summary).replace("picturematch", "")


def test_letters_come_oldest_first_over_all_partitions() -> None:
    register = Register()
    register.take([at(5, letter(), 0, 30), at(1, letter(), 1, 10), at(6, letter(), 0, 40), at(2, letter(), 1, 35)])
    assert [summary.place for summary in register.letters()] == [place(1, 1), place(5), place(2, 1), place(6)]


def test_strangers_and_marks_of_letters_that_are_gone_are_passed_over() -> None:
    register = Register()
    register.take([at(0, b"\xc1"), at(1, b""), at(2, RetryMark(partition=0, offset=99, request_id="x"))])
    assert (list(register.letters()), register.unreadable) == ([], 2)


def test_an_erased_letter_is_neither_listed_nor_unreadable() -> None:
    register = Register()
    register.take([at(0, letter()), Record(TOPICS.dead_letters, 0, 1, 7, b"10.0.0.1", None, ((ERASED, b""),))])
    assert [found.place for found in register.letters()] == [place(0)]
    assert register.unreadable == 0

import pytest

from broker.port import Position
from capture.recording.join import Join, Pending
from contract.events import RequestPlace
from contract.requests import MatchRequest
from tests.support.records import RECEIVED_S, event_of, match_request


def take(join: Join, number: int, offset: int, give_up_s: float = 10.0, partition: int = 0) -> MatchRequest:
    request = match_request(number)
    place = RequestPlace(topic="requests", partition=partition, offset=offset)
    join.take(Pending(request, place, request.received_time_s, give_up_s))
    join.pass_by(partition, offset)
    return request


def decide(join: Join, number: int, offset: int, partition: int = 0, **changes: object) -> None:
    place = Position("requests", partition, offset)
    join.decide(event_of(match_request(number), place, **changes), 1000 * number)


def ready(join: Join, give_up_before_s: float | None = None) -> list[tuple[str, bool]]:
    return [(pending.request.request_id, decided is not None) for pending, decided in join.ready(give_up_before_s)]


def test_requests_stay_in_order_whatever_the_order_of_events() -> None:
    join = Join()
    take(join, 1, 0)
    take(join, 2, 0, partition=1)
    decide(join, 2, 0, partition=1)
    assert ready(join) == []
    assert set(join.open_partitions()) == {0}
    decide(join, 1, 0)
    assert ready(join) == [("r1", True), ("r2", True)]
    assert len(join) == 0


def test_a_request_is_given_up_at_its_time_and_not_before() -> None:
    join = Join()
    take(join, 1, 0, give_up_s=10.0)
    assert ready(join, 9.0) == []
    assert ready(join, 10.0) == [("r1", False)]


def test_a_request_has_no_event_where_a_later_request_of_its_partition_has_one() -> None:
    join = Join()
    take(join, 1, 0)
    take(join, 2, 1, partition=1)
    decide(join, 3, 5, partition=1)
    assert set(join.open_partitions()) == {0}, "nothing of partition 0 was decided"
    decide(join, 4, 1)
    assert ready(join) == [("r1", False), ("r2", False)]


def test_an_event_of_an_earlier_topic_of_the_same_name_ends_no_waiting() -> None:
    join = Join()
    take(join, 1, 0)
    decide(join, 0, 5000)
    assert ready(join) == []
    assert set(join.open_partitions()) == {0}


def test_an_event_that_was_read_before_its_request_is_kept() -> None:
    join = Join()
    decide(join, 1, 5)
    take(join, 1, 5)
    assert ready(join) == [("r1", True)]
    assert join.kept_events == 0


def test_events_of_requests_that_were_passed_over_are_dropped_whenever_they_were_read() -> None:
    join = Join()
    for number in range(5):
        decide(join, number, number)
    join.pass_by(0, 2)
    assert join.kept_events == 2
    join.pass_by(0, 5)
    decide(join, 5, 5)
    assert join.kept_events == 0


def test_the_first_event_of_a_request_counts() -> None:
    join = Join()
    take(join, 1, 0)
    decide(join, 1, 0, score=0.5)
    decide(join, 1, 0, score=0.6)
    ((_, decided),) = join.ready(None)
    assert decided is not None
    assert (decided.event.score, decided.written_ms) == (0.5, 1000)


def test_events_of_other_kinds_decide_no_match() -> None:
    join = Join()
    take(join, 1, 0)
    decide(join, 1, 0, kind="enrol", received_time=RECEIVED_S + 9)
    decide(join, 1, 3, kind="fiqa", received_time=RECEIVED_S + 9)
    assert ready(join) == []


def test_a_request_that_is_in_the_log_twice_has_an_event_each_time() -> None:
    join = Join()
    take(join, 1, 0)
    take(join, 1, 1)
    decide(join, 1, 0)
    assert ready(join) == [("r1", True)]
    decide(join, 1, 1)
    assert ready(join) == [("r1", True)]
    assert (len(join), join.kept_events) == (0, 0)


def test_an_event_at_the_place_of_another_request_decides_nothing() -> None:
    join = Join()
    take(join, 1, 0)
    decide(join, 0, 0)
    assert ready(join) == []


def test_events_of_an_earlier_topic_that_are_ahead_block_no_event() -> None:
    join = Join()
    decide(join, 0, 5000)
    decide(join, 1, 5)
    take(join, 1, 5)
    assert ready(join) == [("r1", True)]


def test_a_restored_request_gets_the_event_that_names_its_former_place() -> None:
    join = Join()
    for number in range(3):
        take(join, number, number)
        decide(join, number, 5000 + number)
    assert ready(join) == [("r0", True), ("r1", True), ("r2", True)]
    assert (len(join), join.kept_events) == (0, 0)


def test_an_event_with_the_id_of_a_request_and_another_time_of_arrival_is_not_its_event() -> None:
    join = Join()
    take(join, 1, 0)
    decide(join, 1, 5000, received_time=RECEIVED_S + 99)
    assert ready(join) == [("r1", False)]


def test_both_events_of_a_request_that_is_in_the_log_twice_may_be_read_before_it() -> None:
    join = Join()
    decide(join, 1, 5)
    decide(join, 1, 9)
    take(join, 1, 5)
    take(join, 1, 9)
    assert ready(join) == [("r1", True), ("r1", True)]
    assert (len(join), join.kept_events) == (0, 0)


def test_events_of_an_earlier_topic_are_forgotten_where_they_become_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.recording.join._MANY_AHEAD", 10)
    join = Join()
    take(join, 10_000, 0)
    for number in range(100):
        decide(join, number, 5000 + number)
    assert join.kept_events < 10
    decide(join, 10_001, 2)
    take(join, 10_001, 2)
    decide(join, 10_000, 0)
    assert ready(join) == [("r10000", True), ("r10001", True)]

from capture.record import Join

from broker.port import Position
from contract.captures.convert import line_of
from contract.events import RequestPlace
from contract.requests import MatchRequest
from tests.support.records import event_of, match_request


def place(offset: int, partition: int = 0) -> RequestPlace:
    return RequestPlace(topic="requests", partition=partition, offset=offset)


def take(join: Join, number: int, offset: int, give_up_s: float = 10.0) -> MatchRequest:
    request = match_request(number)
    join.take(line_of(request, place(offset), None), give_up_s)
    join.pass_by(0, offset)
    return request


def decided(join: Join, give_up_before_s: float | None = None) -> list[tuple[str, bool]]:
    return [(line.request_id, line.decision is not None) for line in join.ready(give_up_before_s)]


def test_lines_stay_in_request_order_whatever_the_order_of_events() -> None:
    join = Join()
    first, second = take(join, 1, 0), take(join, 2, 1)
    join.decide(event_of(second, Position("requests", 0, 1)))
    assert decided(join) == []
    join.decide(event_of(first, Position("requests", 0, 0)))
    assert decided(join) == [("r1", True), ("r2", True)]
    assert len(join) == 0


def test_a_request_is_given_up_at_its_time_and_not_before() -> None:
    join = Join()
    take(join, 1, 0, give_up_s=10.0)
    assert decided(join, 9.0) == []
    assert decided(join, 10.0) == [("r1", False)]


def test_an_event_that_comes_before_its_request_is_kept() -> None:
    join = Join()
    join.decide(event_of(match_request(1), Position("requests", 0, 5)))
    take(join, 1, 5)
    assert decided(join) == [("r1", True)]


def test_events_of_requests_that_were_passed_over_are_not_kept() -> None:
    join = Join()
    join.pass_by(0, 5)
    for number in range(5):
        join.decide(event_of(match_request(number), Position("requests", 0, number)))
    assert join._decisions == {}


def test_the_first_event_of_a_request_counts() -> None:
    join = Join()
    request = take(join, 1, 0)
    join.decide(event_of(request, Position("requests", 0, 0), score=0.5))
    join.decide(event_of(request, Position("requests", 0, 0), score=0.6))
    (line,) = join.ready(None)
    assert line.decision is not None
    assert line.decision.score == 0.5

"""Whether anybody processes requests; the times are made up."""

import pytest

from ingest.attendance import Attendance


class Signs:
    """What the processors' signs of life tell."""

    def __init__(self) -> None:
        self.served: bool | None = True

    def __call__(self) -> bool | None:
        return self.served


@pytest.fixture
def signs() -> Signs:
    return Signs()


@pytest.fixture
def attendance(signs: Signs) -> Attendance:
    return Attendance(3.0, signs)


def test_an_idle_system_with_signs_of_life_is_attended(attendance):
    assert attendance.absence(1e6) is None
    assert attendance.admits(1e6)


@pytest.mark.parametrize(("served", "told"), [(False, "no processor is running"), (None, None), (True, None)])
def test_without_a_sign_of_life_nobody_processes_unless_that_cannot_be_told(attendance, signs, served, told):
    signs.served = served
    assert attendance.absence(10.0) == told
    assert attendance.admits(10.0) == (told is None)


def test_a_request_may_stay_unanswered_for_two_seconds(attendance):
    attendance.sent(10.0)
    assert attendance.absence(12.0) is None
    assert attendance.absence(12.1) == "requests stay unanswered"


def test_two_thirds_of_a_short_deadline_are_enough():
    attendance = Attendance(0.3, lambda: True)
    attendance.sent(10.0)
    assert attendance.absence(10.19) is None
    assert attendance.absence(10.21) == "requests stay unanswered"


def test_requests_that_follow_do_not_hide_the_first_one(attendance):
    for tenth in range(25):
        attendance.sent(10.0 + tenth / 10)
    assert attendance.absence(12.4) == "requests stay unanswered"


def test_any_reply_ends_it_and_starts_the_time_of_those_that_wait(attendance):
    attendance.sent(10.0)
    attendance.answered(13.0, waiting=2)
    assert attendance.absence(14.9) is None
    assert attendance.absence(15.1) == "requests stay unanswered"
    attendance.answered(15.2, waiting=0)
    assert attendance.absence(1e6) is None


def test_while_requests_stay_unanswered_one_call_a_second_is_let_in(attendance):
    attendance.sent(10.0)
    assert attendance.admits(12.5)
    attendance.sent(12.5)
    assert not attendance.admits(12.6)
    assert not attendance.admits(13.4)
    assert attendance.admits(13.5)


def test_a_processor_that_has_come_back_gets_its_time(attendance, signs):
    attendance.sent(10.0)
    signs.served = False
    assert attendance.absence(20.0) == "no processor is running"
    signs.served = True
    assert attendance.absence(20.5) is None
    attendance.sent(21.0)
    assert attendance.absence(23.1) == "requests stay unanswered"


def test_silence_is_forgotten_where_nobody_sends_a_request_any_more(attendance):
    attendance.sent(10.0)
    attendance.sent(20.0)
    assert attendance.absence(49.9) == "requests stay unanswered"
    assert attendance.absence(50.1) is None
    attendance.sent(60.0)
    assert attendance.absence(62.0) is None
    assert attendance.absence(62.1) == "requests stay unanswered"

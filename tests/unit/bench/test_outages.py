import pytest

from bench.outages import without_answers, worst_first


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        ([9.0, 9.9, 10.1, 10.5, 11.0, 12.0, 13.2], 1.2),
        ([9.5, 13.0, 13.1, 14.0], 3.5),
        ([], 4.0),
        ([9.0], 5.0),
        ([10.5, 11.0], 3.0),
        ([1.0, 9.9, 10.4, 13.9, 20.0], 3.5),
    ],
)
def test_the_longest_time_without_an_answer_between_ten_and_fourteen(answers, seconds):
    assert without_answers(answers, 10.0, 14.0) == pytest.approx(seconds)


def test_the_door_that_was_without_answers_for_longest_comes_first():
    found = worst_first({"a": [10.5, 11.0, 12.0], "b": [], "c": [11.0, 13.5]}, 10.0, 14.0)
    assert list(found.items()) == [("b", 4.0), ("c", 2.5), ("a", 2.0)]

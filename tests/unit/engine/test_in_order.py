import threading
import time
from collections.abc import Iterator

import pytest

from engine.in_order import in_order


def test_results_come_in_the_order_of_the_values_whatever_takes_long() -> None:
    def work(value: int) -> int:
        time.sleep(0.01 if value % 3 == 0 else 0)
        return value * value

    assert list(in_order(work, range(40), 4)) == [value * value for value in range(40)]


def test_only_few_values_are_taken_before_their_results_are_used() -> None:
    taken = []

    def values() -> Iterator[int]:
        for value in range(1000):
            taken.append(value)
            yield value

    results = in_order(lambda value: value, values(), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) <= 5 + 8


def test_an_error_of_the_work_or_of_the_values_reaches_the_caller() -> None:
    def odd(value: int) -> int:
        if value == 3:
            raise ValueError("three")
        return value

    results = in_order(odd, range(10), 2)
    with pytest.raises(ValueError, match="three"):
        list(results)

    def values() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(in_order(odd, values(), 2))


def test_work_that_has_not_begun_is_dropped_when_the_caller_stops() -> None:
    done = []
    go_on = threading.Event()

    def work(value: int) -> int:
        if value:
            go_on.wait(5)
        done.append(value)
        return value

    results = in_order(work, range(100), 1)
    assert next(results) == 0
    threading.Timer(0.05, go_on.set).start()
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(done) <= 3

"""Work in several threads whose results come in the order of the inputs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

_AHEAD = 4


def in_order(work: Callable[[A], B], values: Iterable[A], threads: int) -> Iterator[B]:
    """Yield the result of every value, in order; at most 4 values per thread are taken before their results are used.

    Executor.map would take all values at once; with a bound, memory is bounded and an interrupted command ends soon.
    """
    left = iter(values)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[B]] = deque(pool.submit(work, value) for value in islice(left, _AHEAD * threads))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, value) for value in islice(left, 1))
        finally:
            for future in waiting:
                future.cancel()

"""A fixed piece of work that has nothing to do with this project: other figures are given as ratios to it.

A float32 matrix product is what networks mostly are, NumPy's is well known, and it holds no lock of the interpreter. So
its time tells how fast a core is at this moment, and its gain from a second thread what the machine has to give.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from engine.timing import Clock

SIDE = 768


class Yardstick:
    """The product of two matrices of 768 x 768 float32, one thread each."""

    def __init__(self) -> None:
        chance = np.random.default_rng(7)
        self._left, self._right = chance.normal(size=(2, SIDE, SIDE)).astype(np.float32)

    def run(self, clock: Clock) -> float:
        """Milliseconds of one product, by that clock."""
        began = clock()
        np.matmul(self._left, self._right)
        return (clock() - began) * 1000.0

    def per_second(self, count: int, threads: int) -> float:
        """Products per second, on so many threads."""
        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: self.run(time.perf_counter), range(count)))
        return count / (time.perf_counter() - began)

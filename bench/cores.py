"""What a second core adds: pictures matched by a pool of threads in one process, as a processor matches them."""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.policy import Policy
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True)
class Throughput:
    """Pictures per second by the wall. `undisturbed`: without the time in which a thread could have run but had no
    core, because something else ran; what threads wait for each other is still in it. None where the system does not
    tell."""

    per_second: float
    undisturbed: float | None


class CoreBench:
    """Matches pictures with default settings on so many threads."""

    def __init__(self, models: ModelSet, snapshot: Snapshot, max_pixels: int) -> None:
        self._models, self._snapshot, self._max_pixels = models, snapshot, max_pixels

    def run(self, jpegs: Sequence[bytes], count: int, threads: int) -> Throughput:
        """Match `count` pictures, the JPEGs in turn."""
        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            spent_s = list(pool.map(self._match, islice(cycle(jpegs), count)))
        per_second = count / (time.perf_counter() - began)
        known = [value for value in spent_s if value is not None]
        return Throughput(per_second, threads * count / sum(known) if len(known) == count else None)

    def _match(self, jpeg: bytes) -> float | None:
        """Seconds that one picture took, less those in which the thread had no core."""
        request = MatchRequest(request_id="r", device_ip="d", picture=jpeg, compare_time_s=0.0, received_time_s=0.0)
        waited_s, began = _waited_for_a_core_s(), time.perf_counter()
        MatchCall().decide(
            request, self._snapshot, Context(self._models, Policy(), self._max_pixels, time.perf_counter)
        )
        spent_s, waits_s = time.perf_counter() - began, _waited_for_a_core_s()
        return None if waited_s is None or waits_s is None else spent_s - (waits_s - waited_s)


def _waited_for_a_core_s() -> float | None:
    """Seconds that this thread has been ready to run without a core to run on; Linux tells it."""
    told = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/schedstat")
    try:
        # nanoseconds on a core, nanoseconds waiting for one, turns
        return int(told.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None

"""Which threads do urgent work, and which give way to it."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from processor.pool import MatchingPool

SOON_S = 5.0


@pytest.fixture(params=[1, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[MatchingPool]:
    made = MatchingPool(request.param)
    yield made
    made.shutdown()


async def test_urgent_work_never_waits_for_other_work(pool: MatchingPool) -> None:
    end = threading.Event()
    others = [asyncio.ensure_future(pool.run(lambda: end.wait(SOON_S), urgent=False)) for _ in range(20)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(SOON_S):
        assert await pool.run(lambda: "done", urgent=True) == "done"
        assert not any(other.done() for other in others)
        end.set()
        assert await asyncio.gather(*others) == [True] * 20


async def test_other_work_goes_on_while_all_threads_for_urgent_work_are_busy(pool: MatchingPool) -> None:
    end = threading.Event()
    urgent = [asyncio.ensure_future(pool.run(lambda: end.wait(SOON_S), urgent=True)) for _ in range(20)]
    async with asyncio.timeout(SOON_S):
        assert await pool.run(lambda: "done", urgent=False) == "done"
        assert not any(one.done() for one in urgent)
        end.set()
        await asyncio.gather(*urgent)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness of threads")
@pytest.mark.parametrize("further", [0, 5, 19])
@pytest.mark.parametrize("workers", [1, 3])
def test_threads_for_other_work_give_way_and_no_other_thread_does(workers: int, further: int) -> None:
    """A thread has the niceness of the thread that started it, which only an administrator can lower again."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def in_a_process_of(own: int) -> tuple[int, int, int]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own)
        pool = MatchingPool(workers)
        other, urgent = (asyncio.run(pool.run(niceness, urgent=urgent)) for urgent in (False, True))
        pool.shutdown()
        return other, urgent, niceness()

    own = min(niceness() + further, 19)
    with ThreadPoolExecutor(1) as thread:
        other, urgent, after = thread.submit(in_a_process_of, own).result()
    assert other == min(own + 10, 19), "a tenth of the time of an urgent thread, as far as the system has room for it"
    assert urgent == after == own


async def test_an_error_of_the_work_is_raised(pool: MatchingPool) -> None:
    def fail() -> None:
        raise LookupError("broken")

    for urgent in (True, False):
        with pytest.raises(LookupError, match="broken"):
            await pool.run(fail, urgent=urgent)

"""Whose work the matching threads take first."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from processor.pool import MatchingPool
from tests.support.waiting import until

SOON_S = 5.0


class Work:
    """Pieces of work that end when they are told to."""

    def __init__(self, pool: MatchingPool) -> None:
        self.pool, self.begun, self.lock = pool, list[str](), threading.Lock()
        self.ends: dict[str, threading.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, *, urgent: bool) -> "asyncio.Task[None]":
        end = self.ends[name] = threading.Event()

        def work() -> None:
            with self.lock:
                self.begun.append(name)
            end.wait(SOON_S)

        task = asyncio.ensure_future(self.pool.run(work, urgent=urgent))
        self.tasks.append(task)
        return task


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Work]]:
    made: list[Work] = []

    def one(workers: int, longest_s: float = 60.0) -> Work:
        made.append(Work(MatchingPool(workers, longest_s)))
        return made[-1]

    yield one
    for work in made:
        for end in work.ends.values():
            end.set()
        await asyncio.gather(*work.tasks, return_exceptions=True)
        work.pool.shutdown()


async def test_other_work_never_takes_the_last_thread(make: Callable[..., Work]) -> None:
    work = make(2)
    for name in ("p1", "p2"):
        work.start(name, urgent=False)
    await until(lambda: work.begun == ["p1"])
    await asyncio.sleep(0.05)
    assert work.begun == ["p1"]
    work.start("u1", urgent=True)
    await until(lambda: work.begun == ["p1", "u1"])


async def test_urgent_work_that_came_later_is_begun_first(make: Callable[..., Work]) -> None:
    work = make(1)
    work.start("u1", urgent=True)
    await until(lambda: work.begun == ["u1"])
    work.start("p1", urgent=False)
    work.start("u2", urgent=True)
    await asyncio.sleep(0.01)
    work.ends["u1"].set()
    await until(lambda: work.begun == ["u1", "u2"])
    work.ends["u2"].set()
    await until(lambda: work.begun == ["u1", "u2", "p1"])


async def test_other_work_does_not_starve_while_urgent_work_never_ends(make: Callable[..., Work]) -> None:
    work = make(1, longest_s=0.05)
    work.start("u0", urgent=True)
    for name in ("p1", "p2"):
        work.start(name, urgent=False)
    for number in range(1, 200):
        work.start(f"u{number}", urgent=True)
        work.ends[f"u{number - 1}"].set()
        await until(lambda n=number: f"u{n - 1}" in work.begun)
        if "p1" in work.begun:
            break
        await asyncio.sleep(0.002)
    assert "p1" in work.begun
    assert "p2" not in work.begun, "one piece at a time"


async def test_work_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next(make: Callable[..., Work]) -> None:
    work = make(1)
    work.start("u1", urgent=True)
    await until(lambda: work.begun == ["u1"])
    first = work.start("p1", urgent=False)
    work.start("p2", urgent=False)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    work.ends["u1"].set()
    await until(lambda: work.begun == ["u1", "p2"])
